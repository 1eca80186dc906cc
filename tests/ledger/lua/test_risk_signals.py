"""Signals of an item: every form of them is read by the ledger's functions, and none changes what is decided."""

import itertools

import pytest
from ledger.desk import changed, digest

from redemption.domain.campaign.campaign import RiskSignal
from redemption.domain.order import Customer, RiskContext
from redemption.domain.outcome import Outcome
from redemption.domain.ports.orders import Approved, Mismatch, Remembered
from redemption.domain.risk_signals import NO_SIGNALS, Signals, signals_of
from redemption.domain.signed.digest import DigestKind
from redemption.ledger.wire.orders import pack_signals

NAMES = ("person", "device", "network", "payment")
FORMS = [
    Signals(**{name: digest(name, 8) for name in given})
    for count in range(5)
    for given in itertools.combinations(NAMES, count)
]


def test_signals_are_packed_as_flags_and_those_that_are_given():
    assert pack_signals(NO_SIGNALS) == b"\0"
    assert pack_signals(Signals(person=b"p" * 8, payment=b"m" * 8)) == b"\x09" + b"p" * 8 + b"m" * 8


@pytest.mark.parametrize("signals", FORMS, ids=lambda signals: str(pack_signals(signals)[0]))
async def test_an_order_is_decided_and_remembered_alike_whatever_signals_it_has(desk, signals):
    campaign = await desk.campaign()
    order = changed(desk.order(desk.token(campaign, 0), customer="ann", content="cart"), signals=signals)
    other = changed(desk.order(desk.token(campaign, 0), customer="ann", content="other"), request=order.request)
    (first,) = await desk.send(order)
    assert isinstance(first, Approved)
    again, mismatch = await desk.send(changed(order, signals=NO_SIGNALS), other)
    assert isinstance(again, Remembered)
    assert isinstance(mismatch, Mismatch)
    assert await desk.rank(campaign, 1) == Outcome.APPROVED


def test_only_the_signals_that_are_wanted_and_given_are_digested(house):
    digests = house.redeemer._digests.for_program(house.program)
    customer, risk = Customer("ann", person_id="p-1"), RiskContext(device_id="d-1")
    found = signals_of(digests, customer, risk, wanted=(RiskSignal.PERSON, RiskSignal.PAYMENT))
    assert found == Signals(person=digests.digest(DigestKind.PERSON, b"p-1"))
