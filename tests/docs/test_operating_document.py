"""docs/operating.md: what it says to type works as it stands, and messages name sections that it has."""

import re
import stat
import subprocess
from pathlib import Path

import pytest

from redemption.rpc.quota_log import NAMES_MAX as NAMES_TOLD_MAX
from redemption.rpc.quotas import MINT_COUPONS
from redemption.rpc.request_limits import BATCH_MAX
from redemption.scheduling.quota import NAMES_MAX
from redemption.server.keyset_file import read_keyset
from redemption.server.startup import StartRefused
from redemption.settings import QuotaSettings, Settings

ROOT = Path(__file__).parent.parent.parent
PAGE = (ROOT / "docs" / "operating.md").read_text()
SECTION = PAGE.partition("## A keyset of your own")[2].partition("\n## ")[0]


@pytest.fixture
def made(tmp_path):
    """The keyset that the page makes."""
    (script,) = re.findall(r"^\$ (python3 - .*?^END)$", SECTION, re.MULTILINE | re.DOTALL)
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=True)
    again = subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False, capture_output=True, text=True)
    assert "FileExistsError" in again.stderr, "another keyset would make every coupon invalid"
    return tmp_path / "production.keyset"


def settings(keyset, **changes):
    return Settings(**{"keyset": keyset, "environment": "production"} | changes)


def test_the_keyset_that_the_page_makes_is_one(made):
    """For a ledger of one's own, which a development keyset does not serve."""
    keyset = read_keyset(settings(made, redis_url="redis://127.0.0.1:6379"))
    assert not keyset.development
    assert stat.S_IMODE(made.stat().st_mode) == 0o600
    assert keyset.primary.max_expires_at > keyset.primary.created_at


@pytest.mark.parametrize("is_missing", [True, False])
def test_who_lacks_such_a_keyset_is_sent_to_the_section(made, is_missing):
    if is_missing:
        made.unlink()
    else:
        made.write_text(made.read_text().replace('"development": false', '"development": true'))
    with pytest.raises(StartRefused, match=r"docs/operating\.md tells how to make one \((.*)\)$") as refused:
        read_keyset(settings(made))
    title = re.search(r"\(([^()]*)\)$", str(refused.value))[1]
    assert f"\n## {title}\n" in PAGE


QUOTAS = PAGE.partition("\n## Quotas\n")[2].partition("\n## ")[0]


def test_every_setting_of_a_quota_is_told():
    table = "\n".join(line for line in QUOTAS.splitlines() if line.startswith("|"))
    assert {name.lower() for name in re.findall(r"`(P[A-Z_]+)`", table)} == set(QuotaSettings.model_fields)


def test_the_quotas_that_the_page_sets_are_some(monkeypatch):
    variables = dict(re.findall(r"(REDEMPTION_QUOTAS__\w+)=('[^']*'|\S+)", QUOTAS))
    assert len(variables) == 3
    for name, value in variables.items():
        monkeypatch.setenv(name, value.strip("'"))
    quotas = Settings().quotas
    assert (quotas.program_calls_per_second, quotas.program_burst) == (200, 400)
    assert (quotas.programs["big-shop"].burst, quotas.programs["staff"]) == (4000, None)


def test_the_page_says_what_a_call_counts_and_how_many_names_are_kept():
    assert f"each\n{MINT_COUPONS:,} coupons" in QUOTAS
    assert f"{BATCH_MAX - 1} orders more" in QUOTAS
    assert f"worker keeps {NAMES_MAX:,} names" in QUOTAS
    assert f"At most {NAMES_TOLD_MAX} names" in QUOTAS
