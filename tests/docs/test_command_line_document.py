"""The page on the command line names every field of an error, and the page on abuse shows parts of program files."""

import json
import re
from pathlib import Path

from redemption.cli.exits import Stop
from redemption.cli.program_file.reading import read_program

PAGE = (Path(__file__).parent.parent.parent / "docs" / "command-line.md").read_text()


def test_every_field_of_an_error_is_told():
    assert re.findall(r"^\| `(\w+)` \|", PAGE, re.MULTILINE) == list(Stop(4, "").as_dict())


def test_the_example_has_them_too():
    (example,) = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    assert list(json.loads(example)["error"]) == list(Stop(4, "").as_dict())


def test_the_parts_of_a_program_file_on_the_page_on_abuse_can_be_read(tmp_path):
    """Each by itself, and together they are a file; of a velocity rule every field is shown."""
    page = (Path(__file__).parent.parent.parent / "docs" / "anti-abuse.md").read_text()
    parts = re.findall(r"^```yaml\n(.*?)^```$", page, flags=re.MULTILINE | re.DOTALL)
    file = tmp_path / "program.yaml"
    file.write_text("program: demo\n" + "".join(parts))
    (rule,) = read_program(file).part.velocity
    assert rule.model_fields_set | {"name"} == set(type(rule).model_fields)
