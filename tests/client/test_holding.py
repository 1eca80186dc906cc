"""A hold as one block: confirmed, or released; and never released after a confirmation that was not answered."""

import asyncio

import pytest
from fake_server import failing
from grpc import StatusCode

from redemption.client import (
    AsyncRedemptionClient,
    Checkout,
    Decision,
    RedemptionClient,
    ReserveRequest,
    TryAgain,
    connect,
    connect_aio,
    holding,
    holding_aio,
)
from redemption.v1 import outcome_pb2 as v1
from redemption.v1.redemption_service_pb2 import ConfirmResponse, ReleaseResponse, ReserveResponse

REQUEST = ReserveRequest(request_id="hold-1", checkout=Checkout(program="shop", tokens=["A"]))
APPROVED = Decision(outcome=v1.OUTCOME_APPROVED, disposition=v1.DISPOSITION_APPROVED, discount_minor=50_00)
REFUSED = Decision(outcome=v1.OUTCOME_REVOKED, disposition=v1.DISPOSITION_FINAL)
LOST = failing(StatusCode.UNAVAILABLE, "later", reason="SERVER_STOPPING")


class NoPayment(Exception):
    pass


@pytest.fixture(params=["blocking", "asyncio"])
def played(request, fake):
    """Plays a block that confirms so many times and then raises something; returns the block's result."""
    fake.answers["Reserve"] = ReserveResponse(decision=APPROVED, reservation_id="RESERVATION")
    fake.answers["Confirm"] = ConfirmResponse(decision=APPROVED)
    fake.answers["Release"] = ReleaseResponse(outcome=v1.OUTCOME_APPROVED)

    def block(*, confirms=0, error=None):
        with connect(fake.address) as channel, holding(RedemptionClient(channel), REQUEST) as held:
            for _ in range(confirms):
                held.confirm()
            if error:
                raise error
            return held.approved

    async def block_aio(*, confirms=0, error=None):
        async with (
            connect_aio(fake.address) as channel,
            holding_aio(AsyncRedemptionClient(channel), REQUEST) as held,
        ):
            for _ in range(confirms):
                await held.confirm()
            if error:
                raise error
            return held.approved

    return block if request.param == "blocking" else lambda **steps: asyncio.run(block_aio(**steps))


def asked(fake):
    """The names of the calls after Reserve."""
    return {name: len(fake.asked[name]) for name in ("Confirm", "Release") if fake.asked.get(name)}


def test_what_is_confirmed_is_not_released(played, fake):
    assert played(confirms=1)
    assert asked(fake) == {"Confirm": 1}
    (confirmation,) = fake.asked["Confirm"]
    assert (confirmation.program, confirmation.reservation_id) == ("shop", "RESERVATION")


@pytest.mark.parametrize("error", [None, NoPayment()])
def test_what_is_not_confirmed_is_released(played, fake, error):
    """Whether the payment failed or the block just ended."""
    if error:
        with pytest.raises(NoPayment):
            played(error=error)
    else:
        assert played()
    assert asked(fake) == {"Release": 1}
    (release,) = fake.asked["Release"]
    assert (release.program, release.reservation_id) == ("shop", "RESERVATION")
    assert release.request_id not in ("", "hold-1")


def test_a_confirmation_without_an_answer_is_never_followed_by_a_release(played, fake):
    """It may have used the coupons."""
    fake.answers["Confirm"] = LOST
    with pytest.raises(TryAgain):
        played(confirms=1)
    assert "Release" not in asked(fake)


def test_a_confirmation_is_sent_again_as_the_same_request(played, fake):
    assert played(confirms=2)
    first, second = fake.asked["Confirm"]
    assert first == second
    assert first.request_id


def test_what_was_confirmed_stays_confirmed_when_the_block_fails_after_it(played, fake):
    with pytest.raises(NoPayment):
        played(confirms=1, error=NoPayment())
    assert asked(fake) == {"Confirm": 1}


def test_a_refused_confirmation_has_used_nothing_so_the_rest_is_released(played, fake):
    fake.answers["Confirm"] = ConfirmResponse(decision=REFUSED)
    assert played(confirms=1)
    assert asked(fake) == {"Confirm": 1, "Release": 1}


def test_a_refused_reservation_holds_nothing(played, fake):
    fake.answers["Reserve"] = ReserveResponse(decision=REFUSED)
    assert not played()
    assert asked(fake) == {}
    with pytest.raises(ValueError, match="nothing is held"):
        played(confirms=1)
    assert asked(fake) == {}


def test_a_release_that_fails_hides_no_other_error(played, fake, caplog):
    fake.answers["Release"] = LOST
    with pytest.raises(NoPayment):
        played(error=NoPayment())
    assert "their hold ends by itself" in caplog.text
