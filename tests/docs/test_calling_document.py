"""The page on calling: its example runs, and says what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import failing
from grpc import StatusCode
from waiting import SECONDS_MAX

from redemption.client import RedeemResponse

PAGE = (Path(__file__).parent.parent.parent / "docs" / "calling.md").read_text()
(EXAMPLE,) = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (RedeemResponse(decision={"discount_minor": 50}), "take off 50"),
        (RedeemResponse(), "tell the shopper why not"),
        (failing(StatusCode.UNAVAILABLE, "later", reason="SERVER_STOPPING"), "keep the request and send it again: "),
        (
            failing(
                StatusCode.INVALID_ARGUMENT,
                "checkout.order: is missing",
                reason="INVALID_REQUEST",
                violations=[("checkout.order", "is missing")],
            ),
            "a bug of the caller; checkout.order: INVALID_ARGUMENT (INVALID_REQUEST): ",
        ),
        (failing(StatusCode.INTERNAL, "oh", reason="INTERNAL"), "somebody has to look: INTERNAL (INTERNAL): oh"),
    ],
)
def test_the_example_tells_each_answer(fake, answer, told):
    fake.answers["Redeem"] = answer
    program = EXAMPLE.replace("127.0.0.1:50051", fake.address)
    ended = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=SECONDS_MAX
    )
    assert ended.stdout.startswith(told)
