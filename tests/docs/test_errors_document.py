"""The page on errors names every reason of a violation, and its example works on what the server sends."""

import re
from pathlib import Path

from builders.failed_call import FailedCall

from redemption.domain.errors import OtherField, Violation, ViolationReason, ViolationValues
from redemption.rpc.status import VIOLATIONS_MAX

PAGE = (Path(__file__).parent.parent.parent / "docs" / "errors.md").read_text()


def test_every_reason_is_told():
    assert re.findall(r"^\| `([A-Z_]+)` \|", PAGE, re.MULTILINE) == list(ViolationReason)


def test_the_most_violations_are_told():
    assert f"at most {VIOLATIONS_MAX} of them" in PAGE


def test_the_example_reads_what_the_server_says(capsys):
    (example,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    names = {}
    exec(example, names)
    range_values = ViolationValues(least=1, most=9, given=10)
    other_values = ViolationValues(given=20, others=(OtherField("d", 10),))
    error = FailedCall(
        Violation("a", "is wrong"),
        Violation("b", "is wrong", ViolationReason.OUT_OF_RANGE, range_values),
        Violation("c", "is wrong", ViolationReason.MORE_THAN_OTHER, other_values),
    )
    names["tell"](error)
    assert capsys.readouterr().out == "a: is wrong\nb: 1 to 9, not 10\nc: 20 is more than d, 10\n"
