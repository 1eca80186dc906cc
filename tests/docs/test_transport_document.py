"""The page on the transport names every bound with its default, and every file."""

import re
from pathlib import Path

from redemption.rpc import campaign_servicer
from redemption.rpc import request_limits as batch
from redemption.settings import BoundSettings, WorkSettings

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "transport.md").read_text()


def test_every_bound_is_told_with_its_default():
    told = dict(re.findall(r"^\| `(\w+)` \| ([\d.]+) \|", PAGE, re.MULTILINE))
    assert {name: float(value) for name, value in told.items()} == BoundSettings().model_dump()


def test_every_bound_of_work_is_told_with_its_default():
    told = dict(re.findall(r"^\| `work\.(\w+)` \| (\d+) \|", PAGE, re.MULTILINE))
    assert {name: int(value) for name, value in told.items()} == WorkSettings().model_dump()


def test_every_file_is_told():
    files = {path.name for path in (ROOT / "src/redemption/rpc/transport").glob("*.py")}
    told = set(re.findall(r"^\| `(\w+\.py)` \|", PAGE, re.MULTILINE))
    assert files - told == {"__init__.py"}
    assert told <= files


def test_the_sizes_of_messages_are_told():
    sizes = [batch.ORDER_BYTES_MAX, batch.MESSAGE_BYTES_MAX, campaign_servicer.DEFINITION_BYTES_MAX]
    sizes.append(batch.REQUEST_BYTES_MAX)
    found = re.search(r"(\d+) KiB \(an order\), (\d+) MiB \(a batch\), (\d+) KiB \(a campaign\) or (\d+) KiB", PAGE)
    order, whole_batch, campaign, other = map(int, found.groups())
    assert sizes == [order << 10, whole_batch << 20, campaign << 10, other << 10]
