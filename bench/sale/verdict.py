"""The verdict on a run: is what callers were told true, by the service's own look-up and by the ledger's records?

It starts from the journal alone. Whoever got no answer is looked up by request id. Then every approval has to be
there, under its own request id and with its own receipt; no coupon may be used twice; limits and budgets have to hold;
and what was counted has to be what was approved.
"""

import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TypeVar

import grpc

from redemption.client import CallFailed, GetRedemptionRequest, Redemption, RedemptionClient
from redemption.v1.campaign_service_pb2 import CampaignStats, GetCampaignStatsRequest
from sale.check import Check, shown
from sale.goods import OFF_MINOR, Plan
from sale.journal import UNKNOWN, Entry, Journal
from sale.ledger_records import Records

REDEEMING = ("Redeem", "BatchRedeem")
CHANGING = (*REDEEMING, "Claim")
BROUGHT = "limits, budgets and records of the campaigns whose coupons were brought"
NOT_WHOLE = "what was done and nobody was told: not all who played have sent their whole journal"
NO_LEDGER = "the ledger's own records: those of the coupons, and the event stream (give --ledger)"
NEVER_BESIDE_AN_APPROVAL = ("ALREADY_REDEEMED", "IDEMPOTENCY_MISMATCH")
"""What a request that is approved cannot be answered, not even to a second call at the same time."""
LOOKUPS_AT_ONCE = 16
LOOKUP_SECONDS_MAX = 10.0
TRIES_MAX, AGAIN_SECONDS = 10, 1.0
"""So often, and after so long, the server is asked again when it cannot answer."""
_TRANSIENT = (
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.DEADLINE_EXCEEDED,
)
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a run has shown of correctness.

    Attributes:
        checks: Everything that was looked at.
        not_checked: What could not be looked at, and why.
        resolved: Calls without an answer that were looked up: how many were approved, and how many were not.
    """

    checks: tuple[Check, ...]
    not_checked: tuple[str, ...] = ()
    resolved: tuple[int, int] = (0, 0)

    @property
    def passed(self) -> bool:
        """Whether everything that was looked at holds."""
        return not any(check.wrong for check in self.checks)


@dataclass(slots=True)
class Told:
    """What callers were told, by request id.

    Attributes:
        answers: The answers to redemptions and claims, without UNKNOWN.
        asked: The request of each, as its first entry has it.
    """

    answers: dict[str, list[Entry]] = field(default_factory=lambda: defaultdict(list))
    asked: dict[str, Entry] = field(default_factory=dict)

    @classmethod
    def by(cls, journal: Journal) -> "Told":
        """Sort a journal."""
        told = cls()
        for entry in journal.entries:
            if entry.method in CHANGING:
                told.asked.setdefault(entry.request_id, entry)
                if entry.answer != UNKNOWN:
                    told.answers[entry.request_id].append(entry)
        return told

    def approved(self, methods: Sequence[str]) -> dict[str, Entry]:
        """Return the approved requests of some methods."""
        return {
            request_id: next(entry for entry in entries if entry.approved)
            for request_id, entries in self.answers.items()
            if self.asked[request_id].method in methods and any(entry.approved for entry in entries)
        }

    def unknown(self, methods: Sequence[str]) -> list[str]:
        """Return the requests of some methods that were never answered."""
        return [
            request_id
            for request_id, entry in self.asked.items()
            if entry.method in methods and not self.answers.get(request_id)
        ]


def judge(journal: Journal, plan: Plan, client: RedemptionClient, records: Records | None) -> Verdict:
    """Give the verdict.

    Args:
        journal: Every answer of the run.
        plan: What was sold.
        client: Of the server.
        records: The ledger's own records; None: nobody may look at them.

    Raises:
        CallFailed: The server cannot be asked.
    """
    told = Told.by(journal)
    approved, in_doubt = told.approved(REDEEMING), told.unknown(REDEEMING)
    found = dict(zip([*approved, *in_doubt], _look_up(client, plan.program, [*approved, *in_doubt]), strict=True))
    resolved = [request_id for request_id in in_doubt if found[request_id]]
    stats = {sold.number: _stats(client, plan.program, sold.number) for sold in plan.campaigns}
    used = Counter(approved[request_id].campaign for request_id in approved)
    used.update(told.asked[request_id].campaign for request_id in resolved)
    coupons = Counter((each.campaign, each.serial) for redemptions in found.values() for each in redemptions)
    discounts: Counter[int] = Counter()
    for redemptions in found.values():
        for each in redemptions:
            discounts[each.campaign] += each.discount_minor
    checks = [
        _used_once(told, approved, resolved, coupons),
        _answered_alike(told),
        _nothing_lost(approved, found),
        _nothing_wrongly_approved(told),
        _sold_out_only_when_it_is(plan, stats, told),
        _limits_kept(plan, stats, used, journal.whole),
        _budgets_kept(plan, stats, discounts, journal.whole),
        _claims_kept(plan, stats, told, journal.whole),
    ]
    if records is None:
        not_checked = [NO_LEDGER]
    else:
        counted = {number: each.redeemed for number, each in stats.items()}
        checks += records.checks(plan, set(coupons), counted, whole=journal.whole)
        not_checked = records.not_checked
    if not journal.whole:
        not_checked = [*not_checked, NOT_WHOLE]
    if any(entry.campaign == 0 for entry in approved.values()):
        not_checked = [*not_checked, BROUGHT]
    return Verdict(tuple(checks), tuple(not_checked), (len(resolved), len(in_doubt) - len(resolved)))


def _used_once(
    told: Told, approved: Mapping[str, Entry], resolved: Iterable[str], coupons: Mapping[tuple[int, int], int]
) -> Check:
    users = defaultdict(set)
    for request_id in (*approved, *resolved):
        users[told.asked[request_id].token].add(request_id)
    twice = [f"a coupon was approved for {' and '.join(sorted(each))}" for each in users.values() if len(each) > 1]
    twice += [
        f"coupon {number}:{serial} has {count} redemptions" for (number, serial), count in coupons.items() if count > 1
    ]
    return Check("no coupon is used twice", f"{len(users):,} coupons", shown(twice))


def _answered_alike(told: Told) -> Check:
    repeated = {request_id: entries for request_id, entries in told.answers.items() if len(entries) > 1}
    wrong = []
    for request_id, entries in repeated.items():
        first = next((entry for entry in entries if entry.approved), None)
        if first is None:
            continue  # a refusal is decided again
        others = {(entry.receipt, entry.token, entry.discount_minor) for entry in entries if entry.approved}
        later = [
            entry.answer for entry in entries if entry.sent_at > first.sent_at + first.seconds and not entry.approved
        ]
        never = [entry.answer for entry in entries if entry.answer in NEVER_BESIDE_AN_APPROVAL]
        if len(others) > 1 or later or never:
            answers = ", ".join(f"{entry.answer} {entry.receipt[-8:]}".strip() for entry in entries)
            wrong.append(f"{request_id} was answered {answers}")
    return Check("a repeated request gets the same answer", f"{len(repeated):,} repeated requests", shown(wrong))


def _nothing_lost(approved: Mapping[str, Entry], found: Mapping[str, Sequence[Redemption]]) -> Check:
    lost = []
    for request_id, entry in approved.items():
        receipts = {each.redemption_id: each.discount_minor for each in found[request_id]}
        if entry.receipt not in receipts:
            what = "under another receipt" if receipts else "not there"
            lost.append(f"the approval of {request_id} is {what}")
        elif receipts[entry.receipt] != entry.discount_minor:
            lost.append(f"the approval of {request_id} has another discount")
    return Check(
        "every approval is there, under its own request and receipt", f"{len(approved):,} approvals", shown(lost)
    )


def _nothing_wrongly_approved(told: Told) -> Check:
    approved = [entry for entries in told.answers.values() for entry in entries if entry.approved]
    wrong = [f"{entry.request_id} was approved, and has to be refused" for entry in approved if not entry.expected]
    return Check("nothing is approved that has to be refused", f"{len(approved):,} approvals", shown(wrong))


def _sold_out_only_when_it_is(plan: Plan, stats: Mapping[int, CampaignStats], told: Told) -> Check:
    """Counters of a run only grow, so what was used up once is used up at its end."""
    said = Counter((entry.campaign, entry.answer) for entries in told.answers.values() for entry in entries)
    wrong, looked_at = [], 0
    for sold in plan.campaigns:
        counted = stats[sold.number]
        for answer, left in (
            ("CAMPAIGN_LIMIT", sold.redemptions - counted.redeemed),
            ("BUDGET_EXHAUSTED", (sold.budget_minor - counted.discount_minor) // OFF_MINOR),
            ("ISSUE_LIMIT", sold.issued - counted.issued),
        ):
            times = said[sold.number, answer]
            looked_at += times
            if times and left > 0:
                wrong.append(f"campaign {sold.number} was {answer} {times:,} times, and has {left:,} left")
    return Check("sold out is said only of what is", f"{looked_at:,} answers", shown(wrong))


def _differ(counted: int, told: int, whole: bool) -> bool:  # noqa: FBT001 - as journals have it
    """Whether a counter is not what callers were told; it may be more when not all of them could say."""
    return counted != told if whole else counted < told


def _limits_kept(plan: Plan, stats: Mapping[int, CampaignStats], used: Mapping[int, int], whole: bool) -> Check:  # noqa: FBT001
    wrong = []
    for sold in plan.campaigns:
        counted, told = stats[sold.number].redeemed, used[sold.number]
        if _differ(counted, told, whole):
            wrong.append(f"campaign {sold.number} has counted {counted:,} redemptions, callers were told {told:,}")
        if max(counted, told) > sold.redemptions:
            wrong.append(
                f"campaign {sold.number} has {max(counted, told):,} redemptions, its limit is {sold.redemptions:,}"
            )
    full = sum(stats[sold.number].redeemed == sold.redemptions for sold in plan.campaigns)
    looked_at = f"{sum(used.values()):,} redemptions of {len(plan.campaigns)} campaigns, {full} sold out"
    return Check("redemptions are counted exactly, and within their limit", looked_at, shown(wrong))


def _budgets_kept(plan: Plan, stats: Mapping[int, CampaignStats], discounts: Mapping[int, int], whole: bool) -> Check:  # noqa: FBT001
    wrong = []
    for sold in plan.campaigns:
        counted, told = stats[sold.number].discount_minor, discounts[sold.number]
        if _differ(counted, told, whole):
            wrong.append(
                f"campaign {sold.number} has counted {counted / 100:,.2f} off, its redemptions have {told / 100:,.2f}"
            )
        if counted > sold.budget_minor:
            wrong.append(
                f"campaign {sold.number} took {counted / 100:,.2f} off, its budget is {sold.budget_minor / 100:,.2f}"
            )
    return Check(
        "discounts are counted exactly, and within the budget", f"{sum(discounts.values()) / 100:,.2f}", shown(wrong)
    )


def _claims_kept(plan: Plan, stats: Mapping[int, CampaignStats], told: Told, whole: bool) -> Check:  # noqa: FBT001
    approved, in_doubt = told.approved(["Claim"]), told.unknown(["Claim"])
    claimed, maybe = (Counter(told.asked[request_id].campaign for request_id in ids) for ids in (approved, in_doubt))
    wrong = []
    for sold in plan.campaigns:
        counted, least = stats[sold.number].claimed, claimed[sold.number]
        if counted < least or (whole and counted > least + maybe[sold.number]):
            doubt = f", {maybe[sold.number]} in doubt" if maybe[sold.number] else ""
            wrong.append(f"campaign {sold.number} has counted {counted:,} claims, callers were told {least:,}{doubt}")
        if stats[sold.number].issued > sold.issued:
            wrong.append(f"campaign {sold.number} gave out {stats[sold.number].issued:,}, its limit is {sold.issued:,}")
    owners = Counter((entry.campaign, entry.customer) for entry in approved.values() if entry.campaign)
    wrong += [
        f"{customer} has {count} coupons of campaign {number}"
        for (number, customer), count in owners.items()
        if count > 1
    ]
    tokens = Counter(entry.token for entry in approved.values())
    wrong += [f"one token was given to {count} claims" for count in tokens.values() if count > 1]
    return Check("claims are counted exactly, one for each customer", f"{len(approved):,} claims", shown(wrong))


def _look_up(client: RedemptionClient, program: str, request_ids: Sequence[str]) -> Iterator[Sequence[Redemption]]:
    """Return what was approved under each request id; nothing for one under which nothing was."""

    def one(request_id: str) -> Sequence[Redemption]:
        request = GetRedemptionRequest(program=program, request_id=request_id)
        try:
            return _answer(client.get_redemption, request).redemptions
        except CallFailed as error:
            if error.code is grpc.StatusCode.NOT_FOUND:
                return []
            raise

    return _at_once(one, request_ids)


def _at_once(do: Callable[[str], _T], things: Sequence[str]) -> Iterator[_T]:
    with ThreadPoolExecutor(LOOKUPS_AT_ONCE) as pool:
        yield from pool.map(do, things)


def _stats(client: RedemptionClient, program: str, number: int) -> CampaignStats:
    request = GetCampaignStatsRequest(program=program, number=number)
    return _answer(client.get_campaign_stats, request).stats


def _answer(call: Callable[..., _T], request: object) -> _T:
    """Ask the server, and again while it is overloaded or starts anew."""
    for _ in range(TRIES_MAX - 1):
        try:
            return call(request, timeout=LOOKUP_SECONDS_MAX)
        except CallFailed as error:
            if error.code not in _TRANSIENT:
                raise
            time.sleep(AGAIN_SECONDS)
    return call(request, timeout=LOOKUP_SECONDS_MAX)
