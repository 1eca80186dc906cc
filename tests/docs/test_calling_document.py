"""The page on calling: its examples run, and do what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
from fake_server import failing
from grpc import StatusCode
from waiting import SECONDS_MAX

from redemption.client import RedeemResponse, RedemptionClient, ReserveRequest, connect
from redemption.v1.redemption_service_pb2 import ConfirmResponse, ReleaseResponse, ReserveResponse

PAGE = (Path(__file__).parent.parent.parent / "docs" / "calling.md").read_text()
EXAMPLE, HOLDING = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


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


@pytest.mark.parametrize("pays", [True, False])
def test_the_example_of_a_hold_confirms_what_was_paid_and_releases_what_was_not(fake, pays):
    fake.answers["Reserve"] = ReserveResponse(decision={"disposition": 1, "discount_minor": 50}, reservation_id="R")
    fake.answers["Confirm"] = ConfirmResponse(decision={"disposition": 1, "verdicts": [{"redemption_id": "RECEIPT"}]})
    fake.answers["Release"] = ReleaseResponse()
    page, paid = {}, []

    def pay(amount_minor, *, keep):
        paid.append((amount_minor, bool(keep)))
        if not pays:
            raise RuntimeError("no money")

    exec(HOLDING, page)
    page["pay"] = pay
    with connect(fake.address) as channel:
        if pays:
            assert page["check_out"](RedemptionClient(channel), ReserveRequest(), 200) == ["RECEIPT"]
        else:
            with pytest.raises(RuntimeError, match="no money"):
                page["check_out"](RedemptionClient(channel), ReserveRequest(), 200)
    assert paid == [(150, True)]
    assert (len(fake.asked.get("Confirm") or ()), len(fake.asked.get("Release") or ())) == (int(pays), int(not pays))
