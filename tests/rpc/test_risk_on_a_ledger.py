"""RiskService of two servers on one real ledger, as a risk officer and a checkout use it with the client library."""

import secrets
from contextlib import AsyncExitStack
from types import SimpleNamespace

import pytest
import pytest_asyncio
from google.protobuf.duration_pb2 import Duration

from redemption.client import AsyncRedemptionClient, CallFailed, RequestRejected, connect_aio
from redemption.rpc.server import RpcConfig, RpcServer
from redemption.v1 import issuance_service_pb2, order_pb2, redemption_service_pb2, rules_pb2
from redemption.v1 import risk_service_pb2 as messages
from redemption.v1.outcome_pb2 import (
    OUTCOME_APPROVED,
    OUTCOME_CAMPAIGN_PAUSED,
    OUTCOME_DENYLISTED,
    OUTCOME_RISK_CONTEXT_REQUIRED,
    OUTCOME_VELOCITY_EXCEEDED,
)

DENY, ALLOW = rules_pb2.LIST_KIND_DENY, rules_pb2.LIST_KIND_ALLOW
DEVICE = rules_pb2.SUBJECT_KIND_DEVICE


@pytest_asyncio.fixture
async def two(house, other):
    """Two servers on ports of their own, and a client of each."""
    async with AsyncExitStack() as stack:
        clients = []
        for served in (house, other):
            server = RpcServer(served.use_cases, RpcConfig())
            port = await server.start()
            stack.push_async_callback(server.drain, 0)
            channel = await stack.enter_async_context(connect_aio(f"127.0.0.1:{port}"))
            clients.append(AsyncRedemptionClient(channel))
        yield SimpleNamespace(officer=clients[0], checkout=clients[1], program=house.program, house=house)


async def apply(two, **parts):
    """Read the rules, change them, write them."""
    rules = (await two.officer.get_rules(messages.GetRulesRequest(program=two.program))).rules
    for name, rule in parts.items():
        del getattr(rules, name)[:]
        getattr(rules, name).extend([rule])
    return (await two.officer.update_rules(messages.UpdateRulesRequest(rules=rules))).rules


def device_rule(**changes):
    fields = {"name": "device", "subject": DEVICE, "limit": 1, "period": Duration(seconds=3600)} | changes
    return rules_pb2.VelocityRule(**fields)


async def redeem(two, token, *, customer="ann", **risk):
    """What the checkout's server answers to an order."""
    request = redemption_service_pb2.RedeemRequest(
        request_id=secrets.token_hex(8),
        checkout=order_pb2.Checkout(
            program=two.program,
            tokens=[token],
            order={
                "order_id": secrets.token_hex(8),
                "currency_code": "CNY",
                "lines": [{"line_id": "1", "quantity": 1, "amount_minor": 238_00}],
            },
            customer={"customer_id": customer},
            risk=risk,
        ),
    )
    return (await two.checkout.redeem(request)).decision


async def claim(two, campaign, customer):
    request = issuance_service_pb2.ClaimRequest(
        program=two.program,
        request_id=secrets.token_hex(8),
        offer={"campaign": campaign.number},
        customer={"customer_id": customer},
    )
    return await two.checkout.claim(request)


async def test_rules_are_read_changed_and_in_force_on_the_other_server(two):
    campaign = await two.house.campaign()
    tokens = await two.house.mint(campaign, 4)
    applied = await apply(two, velocity=device_rule())
    assert (applied.etag, applied.velocity[0].burst, applied.velocity[0].mode) == ("v1", 1, rules_pb2.RULE_MODE_ENFORCE)
    assert (await redeem(two, tokens[0], device_id="phone")).outcome == OUTCOME_APPROVED
    refused = await redeem(two, tokens[1], device_id="phone")
    assert refused.outcome == OUTCOME_VELOCITY_EXCEEDED
    assert refused.verdicts[0].detail.HasField("try_after")
    await two.house.ledger._refusal_counts.send()
    stats = await two.officer.get_risk_stats(messages.GetRiskStatsRequest(program=two.program))
    assert [(rule.name, rule.without_subject) for rule in stats.rules] == [("device", 0)]
    assert stats.as_of.seconds > 0


async def test_a_request_that_lacks_a_signal_is_told_which(two):
    campaign = await two.house.campaign()
    (token,) = await two.house.mint(campaign)
    await apply(two, velocity=device_rule(without_subject=rules_pb2.WITHOUT_SUBJECT_REFUSE))
    refused = await redeem(two, token)
    assert refused.outcome == OUTCOME_RISK_CONTEXT_REQUIRED
    assert list(refused.verdicts[0].detail.missing_signals) == [DEVICE]
    claimed = await claim(two, campaign, "ann")
    assert claimed.outcome == OUTCOME_RISK_CONTEXT_REQUIRED
    assert list(claimed.detail.missing_signals) == [DEVICE]


async def test_an_emergency_is_answered_with_the_rules_as_they_are(two):
    campaign = await two.house.campaign()
    rules = await apply(two, velocity=device_rule(limit=5))
    tightened = await two.officer.tighten_rule(
        messages.TightenRuleRequest(program=two.program, rule={"name": "device", "limit": 1})
    )
    assert [(rule.name, rule.limit) for rule in tightened.rules.tightened] == [("device", 1)]
    frozen = await two.officer.freeze_claims(messages.FreezeClaimsRequest(program=two.program))
    assert frozen.rules.claims_frozen
    assert (await claim(two, campaign, "ann")).outcome == OUTCOME_CAMPAIGN_PAUSED
    tokens = await two.house.mint(campaign, 2)
    outcomes = [(await redeem(two, token, device_id="phone")).outcome for token in tokens]
    assert outcomes == [OUTCOME_APPROVED, OUTCOME_VELOCITY_EXCEEDED]
    thawed = await two.officer.thaw_claims(messages.ThawClaimsRequest(program=two.program))
    loosened = await two.officer.loosen_rule(messages.LoosenRuleRequest(program=two.program, name="device"))
    assert (thawed.rules.claims_frozen, list(loosened.rules.tightened)) == (False, [])
    assert loosened.rules.velocity == rules.velocity


async def test_a_thousand_entries_are_added_listed_and_removed(two):
    campaign = await two.house.campaign()
    tokens = await two.house.mint(campaign, 2)
    subjects = [rules_pb2.RiskSubject(customer_id=f"c{index}") for index in range(999)]
    subjects.append(rules_pb2.RiskSubject(network="2001:db8::/32"))
    request = messages.AddListEntriesRequest(program=two.program, list=DENY, subjects=subjects, reason="resale")
    added = await two.officer.add_list_entries(request)
    assert (len(added.entries), added.total) == (1000, 1000)
    assert added.entries[999].subject == rules_pb2.SubjectRef(kind=rules_pb2.SUBJECT_KIND_NETWORK, id="2001:db8::/32")
    refused = await redeem(two, tokens[0], customer="c7")
    assert (refused.outcome, refused.verdicts[0].outcome) == (OUTCOME_DENYLISTED, OUTCOME_DENYLISTED)
    assert (await redeem(two, tokens[0], network_address="2001:db8:7::1")).outcome == OUTCOME_DENYLISTED
    found, token = [], ""
    while not found or token:
        page = await two.officer.list_list_entries(
            messages.ListListEntriesRequest(program=two.program, page_size=400, page_token=token)
        )
        found += page.entries
        token = page.next_page_token
    assert sorted(entry.subject.id for entry in found) == sorted(entry.subject.id for entry in added.entries)
    assert {(entry.reason, entry.principal, entry.list) for entry in found} == {("resale", "anonymous", DENY)}
    removed = await two.officer.remove_list_entries(
        messages.RemoveListEntriesRequest(program=two.program, list=DENY, refs=[entry.subject for entry in found])
    )
    assert (removed.removed, removed.total) == (1000, 0)
    assert (await redeem(two, tokens[0], customer="c7")).outcome == OUTCOME_APPROVED


async def test_mistakes_are_told_by_their_field_and_reason(two):
    await apply(two, velocity=device_rule())
    calls = [
        (two.officer.update_rules, messages.UpdateRulesRequest(rules={"program": two.program}), "INVALID_REQUEST"),
        (
            two.officer.update_rules,
            messages.UpdateRulesRequest(rules={"program": two.program, "etag": "v0"}),
            "ETAG_MISMATCH",
        ),
        (two.officer.loosen_rule, messages.LoosenRuleRequest(program=two.program, name="devise"), "NOT_FOUND"),
        (two.officer.get_rules, messages.GetRulesRequest(), "INVALID_REQUEST"),
    ]
    for method, request, reason in calls:
        with pytest.raises((RequestRejected, CallFailed)) as failed:
            await method(request)
        assert failed.value.reason == reason
    subjects = [{"customer_id": "ann"}, {"coupon": {"campaign": 7}}, {"network": "192.0.2.1/24"}]
    with pytest.raises(RequestRejected) as rejected:
        await two.officer.add_list_entries(
            messages.AddListEntriesRequest(program=two.program, list=ALLOW, subjects=subjects)
        )
    assert [violation.field for violation in rejected.value.violations] == ["subjects[1].coupon", "subjects[2].network"]
    assert "did you mean 192.0.2.0/24" in rejected.value.violations[1].problem
