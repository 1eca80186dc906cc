"""Nothing that a request can say is ignored: each field of each request matters, or is refused when it is set."""

from collections.abc import AsyncGenerator, Callable, Iterator
from typing import Any

import pytest
from builders.calls import calling
from builders.full_campaign import CAMPAIGN
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from rpc.examples import (
    ACTIVE,
    ADDED,
    APPROVAL,
    ENTRIES,
    KNOWN,
    PAGE,
    QUOTED,
    REDEEMED,
    REQUESTS,
    RISK_STATS,
    STATS,
    TOP,
    UPDATED,
)
from rpc.stage import OneCall, stand_ins, telling

from redemption.domain.errors import InvalidRequest, NotBuilt
from redemption.domain.outcome import Outcome
from redemption.domain.ports.rules import ListChanged
from redemption.rpc.campaign_servicer import CampaignServicer
from redemption.rpc.guard import Gathered, Unary, Unparsed
from redemption.rpc.issuance_servicer import IssuanceServicer
from redemption.rpc.redemption_servicer import RedemptionServicer
from redemption.rpc.risk_servicer import RiskServicer
from redemption.scheduling.fair_slots import WorkSlot
from redemption.scheduling.work_bounds import WorkBounds
from redemption.service.claimer import Claimed
from redemption.service.issuer import Inspection
from redemption.service.reverser import Reversal

UNKNOWN = 99
SAME = {
    # The contract: "the same as".
    "campaign.stacking.stage=3",
    "campaign.stacking.base=1",
    "campaign.stacking.exclusivity_reach=1",
    "campaign.return_policy=1",
    "campaign.offers[0].tiers.measure=1",
    "form=1",
    "rules.velocity[0].counts=1",
    "rules.velocity[0].mode=1",
    "rules.velocity[0].without_subject=1",
    "rules.accounts[0].counts=2",
    "rules.accounts[0].mode=1",
    "rules.accounts[0].without_subject=1",
    "rules.lock_out.customers=1",
    "rules.lock_out.devices=1",
    "rules.lock_out.networks=2",
    # A campaign's state, given back as it was read.
    "campaign.state=1",
}


CALLER = calling()


async def no_coupons(*_: Any) -> AsyncGenerator[Any, None]:
    """Answer with a stream of nothing."""

    async def parts() -> AsyncGenerator[Any, None]:
        for part in ():
            yield part

    return parts()


def use_cases() -> Any:
    """Return stand-ins that answer everything."""
    stand_in = stand_ins()
    stand_in.redeemer.redeem.side_effect = telling(APPROVAL)
    stand_in.redeemer.redeem_all.side_effect = lambda _, attempts, *__: [APPROVAL] * len(attempts)
    stand_in.finder.by_request.return_value = [REDEEMED]
    stand_in.finder.by_receipt.return_value = REDEEMED
    stand_in.reserver.confirm.return_value = APPROVAL
    stand_in.reserver.release.return_value = Outcome.APPROVED
    stand_in.reverser.reverse.return_value = Reversal(Outcome.REVERSAL_EXCEEDS)
    stand_in.quoter.quote.return_value = QUOTED
    stand_in.issuer.mint.side_effect = no_coupons
    stand_in.issuer.mint_codes.side_effect = no_coupons
    stand_in.issuer.inspect.return_value = Inspection(None)
    stand_in.claimer.claim.return_value = Claimed(Outcome.CLAIM_LIMIT)
    stand_in.revoker.revoke.return_value = Outcome.APPROVED
    campaigns = stand_in.campaigns
    changing = (campaigns.create, campaigns.set_state, campaigns.archive)
    for method in (campaigns.get, campaigns.check_create, *changing):
        method.return_value = CAMPAIGN
    for method in (campaigns.update, campaigns.check_update):
        method.return_value = UPDATED
    campaigns.list.return_value = PAGE
    campaigns.stats.return_value = STATS
    rules = stand_in.risk_rules
    for method in (rules.get, rules.update, rules.check_update, rules.tighten, rules.loosen, rules.set_claims_frozen):
        method.return_value = ACTIVE
    rules.stats.return_value = RISK_STATS
    stand_in.risk_lists.add.return_value = ADDED
    stand_in.risk_lists.remove.return_value = ListChanged(7, 1)
    stand_in.risk_lists.list.return_value = ENTRIES
    stand_in.risk_subjects.top.return_value = TOP
    stand_in.risk_subjects.subject.return_value = KNOWN
    return stand_in


USE_CASES = use_cases()
STAND_INS = tuple(vars(USE_CASES).values())
METHODS = {
    f"{service}.{name}": method
    for service, servicer in {
        "RedemptionService": RedemptionServicer(USE_CASES, WorkBounds()),
        "IssuanceService": IssuanceServicer(USE_CASES),
        "CampaignService": CampaignServicer(USE_CASES),
        "RiskService": RiskServicer(USE_CASES),
    }.items()
    for name, method in servicer.methods().items()
}


async def effect(name: str, request: Message) -> object:
    """Return what the use cases are asked because of a request, or that it is refused."""
    method = METHODS[name]
    for stand_in in STAND_INS:
        stand_in.reset_mock()
    try:
        if isinstance(method, Unary):
            response = await method.answer(request, CALLER)
        elif isinstance(method, Unparsed):
            response = await method.answer(request.SerializeToString(), CALLER)
        elif isinstance(method, Gathered):
            call = OneCall(request)
            method.begin([call])
            (response,) = call.answers
            if isinstance(response, Exception):
                raise response
        else:
            response = [message async for message in method.answer(request, CALLER)]
    except (InvalidRequest, NotBuilt) as refusal:
        return f"refused: {refusal.message}"
    asked = [
        # Without the caller: who comes first, or with each order. And without the slot, which is another one each time.
        (
            call[0],
            [attempt for attempt, *_ in call[1][0]] if call[0] == "redeem" else _asked(call[1][1:]),
            {name: value for name, value in call[2].items() if not isinstance(value, WorkSlot)},
        )
        for stand_in in STAND_INS
        for call in stand_in.mock_calls
    ]
    # An item of a batch that is malformed is refused in the answer.
    return asked, response if name == "RedemptionService.BatchRedeem" else None


def _asked(arguments: tuple[Any, ...]) -> list[Any]:
    return [argument for argument in arguments if not isinstance(argument, WorkSlot)]


def settings(descriptor: Descriptor, reach: Callable[[Any], Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every field below a message, with a function that sets it in the whole request."""
    for field in descriptor.fields:
        if field.message_type is None:
            for value in values(field):
                yield f"{path}{field.name}={value}", lambda root, f=field, v=value: assign(reach(root), f, v)
        elif field.is_repeated:
            yield from settings(
                field.message_type, lambda root, f=field: first(reach(root), f), f"{path}{field.name}[0]."
            )
        else:
            yield from settings(
                field.message_type, lambda root, f=field: getattr(reach(root), f.name), f"{path}{field.name}."
            )


def values(field: FieldDescriptor) -> list[Any]:
    if field.enum_type is not None:
        return [value.number for value in field.enum_type.values if value.number] + [UNKNOWN]
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        return [b"walk"] if field.type == FieldDescriptor.TYPE_BYTES else ["99"]
    return [True] if field.cpp_type == FieldDescriptor.CPPTYPE_BOOL else [3]


def assign(message: Any, field: FieldDescriptor, value: Any) -> None:
    if field.is_repeated:
        getattr(message, field.name).append(value)
    else:
        setattr(message, field.name, value)


def first(message: Any, field: FieldDescriptor) -> Any:
    repeated = getattr(message, field.name)
    return repeated[0] if repeated else repeated.add()


CASES = [(name, index) for name, requests in REQUESTS.items() for index in range(len(requests))]


def test_examples_cover_every_method_that_is_built():
    assert set(REQUESTS) == set(METHODS)


@pytest.mark.parametrize(("name", "index"), CASES)
async def test_every_field_matters_or_is_refused(name, index):
    example = REQUESTS[name][index]
    unchanged = await effect(name, example)
    assert not str(unchanged).startswith("refused")
    ignored = []
    for path, change in settings(example.DESCRIPTOR, lambda root: root):
        request = type(example).FromString(example.SerializeToString())
        change(request)
        if request != example and await effect(name, request) == unchanged and path not in SAME:
            ignored.append(path)
    assert ignored == []


@pytest.mark.parametrize(("name", "index"), CASES)
async def test_enum_value_of_a_later_contract_is_refused_wherever_it_stands(name, index):
    example = REQUESTS[name][index]
    for path, change in settings(example.DESCRIPTOR, lambda root: root):
        if path.endswith(f"={UNKNOWN}") and "page_token" not in path and change.__defaults__[0].enum_type:
            request = type(example).FromString(example.SerializeToString())
            change(request)
            assert str(await effect(name, request)).startswith("refused"), path
