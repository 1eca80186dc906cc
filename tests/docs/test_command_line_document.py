"""The page on scripts names every field of an error."""

import json
import re
from pathlib import Path

from redemption.cli.exits import Stop

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text()


def test_every_field_of_an_error_is_told():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(Stop(4, "").as_dict())


def test_the_example_has_them_too():
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert list(json.loads(example)["error"]) == list(Stop(4, "").as_dict())
