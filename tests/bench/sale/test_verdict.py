"""The verdict: a run as it should be passes, and each thing that is wrong is found and named."""

from dataclasses import replace

import grpc
import pytest
from tool_loader import load_bench

from redemption.client import CallFailed, Failure
from redemption.v1 import redemption_service_pb2 as v1
from redemption.v1.campaign_service_pb2 import CampaignStats, GetCampaignStatsResponse

goods, journal, verdict = load_bench("sale.goods"), load_bench("sale.journal"), load_bench("sale.verdict")
Entry, UNKNOWN = journal.Entry, journal.UNKNOWN
OFF = goods.OFF_MINOR
HOT, COLD = 1, 2
PLAN = goods.Plan(
    "run",
    "bench",
    (
        goods.OnSale(number=HOT, share=0.8, redemptions=3, issued=9, budget_minor=9 * OFF),
        goods.OnSale(number=COLD, share=0.2, redemptions=9, issued=9, budget_minor=2 * OFF),
    ),
)
USED_ONCE = "no coupon is used twice"
ALIKE = "a repeated request gets the same answer"
THERE = "every approval is there, under its own request and receipt"
LIMITS = "redemptions are counted exactly, and within their limit"
BUDGETS = "discounts are counted exactly, and within the budget"
CLAIMS = "claims are counted exactly, one for each customer"


class Service:
    """What the service says when it is asked after a run."""

    def __init__(self):
        self.redemptions = {}
        self.stats = {number: CampaignStats() for number in (HOT, COLD)}

    def approve(self, request_id, campaign):
        """Let there be a redemption; returns its receipt."""
        receipt = f"receipt of {request_id}"
        self.redemptions[request_id] = v1.Redemption(
            redemption_id=receipt, campaign=campaign, serial=len(self.redemptions), discount_minor=OFF
        )
        self.stats[campaign].redeemed += 1
        self.stats[campaign].discount_minor += OFF
        return receipt

    def get_redemption(self, request, timeout):
        if request.request_id not in self.redemptions:
            raise CallFailed(Failure(code=grpc.StatusCode.NOT_FOUND, message="nothing"))
        return v1.GetRedemptionResponse(redemptions=[self.redemptions[request.request_id]])

    def get_campaign_stats(self, request, timeout):
        return GetCampaignStatsResponse(stats=self.stats[request.number])


class Run:
    """A run as it should be: two redemptions of the hot campaign, one of the cold one, a refusal, a claim."""

    def __init__(self):
        self.service = Service()
        self.entries = []
        self.moment = 1_000.0
        for request_id, campaign in (("r1", HOT), ("r2", HOT), ("r3", COLD)):
            self.approved(request_id, campaign)
        self.told("r4", HOT, "MIN_SPEND_NOT_MET")
        self.claimed("c1", "ann")

    def told(self, request_id, campaign, answer, method="Redeem", **more):
        self.moment += 1.0
        more = {"token": f"token of {request_id}", **more}
        self.entries.append(
            Entry(method, request_id, sent_at=self.moment, seconds=0.1, answer=answer, campaign=campaign, **more)
        )

    def approved(self, request_id, campaign, **more):
        receipt = self.service.approve(request_id, campaign)
        self.told(request_id, campaign, "APPROVED", receipt=receipt, discount_minor=OFF, **more)

    def claimed(self, request_id, customer, *, counted=True, **more):
        self.service.stats[HOT].claimed += counted
        self.service.stats[HOT].issued += counted
        self.told(request_id, HOT, "APPROVED", "Claim", customer=customer, **more)

    def judge(self):
        """What is wrong, by check."""
        found = verdict.judge(journal.Journal(self.entries), PLAN, self.service, None)
        assert len(found.checks) == 8
        assert found.passed == (not any(check.wrong for check in found.checks))
        self.resolved = found.resolved
        return {check.name: check.wrong for check in found.checks if check.wrong}


@pytest.fixture
def run():
    return Run()


def test_a_run_as_it_should_be_passes_and_says_what_was_not_looked_at(run):
    assert run.judge() == {}
    (missing,) = verdict.judge(journal.Journal(run.entries), PLAN, run.service, None).not_checked
    assert "the ledger's own records" in missing


def test_a_request_that_is_repeated_passes_with_the_same_answer(run):
    run.told("r1", HOT, "APPROVED", receipt="receipt of r1", discount_minor=OFF)
    run.told("r4", HOT, "CUSTOMER_LIMIT")
    assert run.judge() == {}


@pytest.mark.parametrize("answer", ["ALREADY_REDEEMED", "IDEMPOTENCY_MISMATCH"])
def test_an_approval_that_becomes_a_refusal_is_found(run, answer):
    run.told("r1", HOT, answer)
    assert run.judge() == {ALIKE: (f"r1 was answered APPROVED pt of r1, {answer}",)}


def test_a_double_click_may_be_refused_before_it_is_approved(run):
    """Of two at the same time, the first may be in doubt and be decided after the second."""
    first = run.entries[0]
    run.entries.append(replace(first, answer="CUSTOMER_LIMIT", receipt="", discount_minor=0))
    assert run.judge() == {}


def test_a_double_click_is_never_refused_because_it_was_approved(run):
    run.entries.append(replace(run.entries[0], answer="ALREADY_REDEEMED", receipt="", discount_minor=0))
    assert list(run.judge()) == [ALIKE]


def test_another_discount_than_callers_were_told_is_found(run):
    run.service.redemptions["r2"].discount_minor += 1
    assert run.judge()[THERE] == ("the approval of r2 has another discount",)


def test_an_approval_that_has_to_be_a_refusal_is_found(run):
    run.approved("short", COLD, expected=False)
    assert run.judge() == {"nothing is approved that has to be refused": ("short was approved, and has to be refused",)}


@pytest.mark.parametrize(
    ("campaign", "answer", "left"), [(HOT, "CAMPAIGN_LIMIT", 1), (COLD, "BUDGET_EXHAUSTED", 1), (HOT, "ISSUE_LIMIT", 8)]
)
def test_sold_out_that_is_not_so_is_found(run, campaign, answer, left):
    run.told("r5", campaign, answer)
    told = f"campaign {campaign} was {answer} 1 times, and has {left} left"
    assert run.judge() == {"sold out is said only of what is": (told,)}


def test_sold_out_that_is_so_is_right(run):
    run.approved("r5", HOT)
    run.told("r6", HOT, "CAMPAIGN_LIMIT")
    assert run.judge() == {}


def test_another_receipt_for_the_same_request_is_found(run):
    run.told("r1", HOT, "APPROVED", receipt="another one", discount_minor=OFF)
    assert list(run.judge()) == [ALIKE]


def test_a_coupon_that_two_requests_got_is_found(run):
    run.approved("r5", COLD, token="token of r3")
    assert run.judge() == {USED_ONCE: ("a coupon was approved for r3 and r5",)}


def test_a_lost_approval_is_found(run):
    del run.service.redemptions["r2"]
    found = run.judge()
    assert found[THERE] == ("the approval of r2 is not there",)
    assert BUDGETS in found


def test_an_approval_under_another_receipt_is_found(run):
    run.service.redemptions["r2"].redemption_id = "another one"
    assert run.judge() == {THERE: ("the approval of r2 is under another receipt",)}


def test_a_limit_that_is_passed_by_one_is_found(run):
    for request_id in ("r5", "r6"):
        run.approved(request_id, HOT)
    assert run.judge() == {LIMITS: ("campaign 1 has 4 redemptions, its limit is 3",)}


def test_a_count_that_is_not_what_callers_were_told_is_found(run):
    run.service.stats[HOT].redeemed -= 1
    assert run.judge() == {LIMITS: ("campaign 1 has counted 1 redemptions, callers were told 2",)}


def test_a_budget_that_is_passed_is_found(run):
    for request_id in ("r5", "r6"):
        run.approved(request_id, COLD)
    assert run.judge() == {BUDGETS: ("campaign 2 took 150.00 off, its budget is 100.00",)}


def test_calls_without_an_answer_are_looked_up(run):
    """One had been done, one not; the first is a redemption like the others."""
    run.told("r5", HOT, UNKNOWN)
    run.service.approve("r5", HOT)
    run.told("r6", COLD, UNKNOWN)
    assert run.judge() == {}
    assert run.resolved == (1, 1)


def test_a_coupon_that_was_used_by_a_call_without_an_answer_is_used(run):
    run.told("r5", HOT, UNKNOWN, token="token of r1")
    run.service.approve("r5", HOT)
    assert list(run.judge()) == [USED_ONCE]


def test_an_answer_to_a_later_try_counts(run):
    run.entries.insert(0, replace(run.entries[0], answer=UNKNOWN, receipt="", discount_minor=0))
    assert run.judge() == {}
    assert run.resolved == (0, 0)


def test_claims_have_to_be_counted_exactly(run):
    run.claimed("c2", "ben", counted=False)
    assert run.judge() == {CLAIMS: ("campaign 1 has counted 1 claims, callers were told 2",)}


def test_a_claim_without_an_answer_may_have_been_done(run):
    run.told("c2", HOT, UNKNOWN, "Claim")
    assert run.judge() == {}
    run.service.stats[HOT].claimed += 1
    assert run.judge() == {}
    run.service.stats[HOT].claimed += 1
    assert run.judge() == {CLAIMS: ("campaign 1 has counted 3 claims, callers were told 1, 1 in doubt",)}


def test_a_customer_with_two_coupons_and_a_token_with_two_owners_are_found(run):
    run.claimed("c2", "ann")
    assert run.judge() == {CLAIMS: ("ann has 2 coupons of campaign 1",)}
    run.claimed("c3", "cat", token="token of c2")
    assert "one token was given to 2 claims" in run.judge()[CLAIMS]


def test_of_many_findings_the_first_are_told():
    assert load_bench("sale.check").shown(["a", "b", "c", "d", "e", "f", "g"]) == (
        "a",
        "b",
        "c",
        "d",
        "e",
        "and 2 more",
    )


@pytest.fixture
def flaky(run, monkeypatch):
    """Let the service fail some times before it answers; returns how often it was asked."""
    monkeypatch.setattr(verdict, "AGAIN_SECONDS", 0.001)
    get, asked = run.service.get_redemption, []

    def of(times, code=grpc.StatusCode.UNAVAILABLE):
        def fail(request, timeout):
            asked.append(request.request_id)
            if asked.count(request.request_id) <= times:
                raise CallFailed(Failure(code=code, message="away"))
            return get(request, timeout)

        run.service.get_redemption = fail
        return asked

    return of


def test_a_server_that_cannot_be_asked_is_asked_again(run, flaky):
    asked = flaky(times=verdict.TRIES_MAX - 1)
    assert run.judge() == {}
    assert len(asked) == 3 * verdict.TRIES_MAX


@pytest.mark.parametrize(
    ("times", "code"), [(verdict.TRIES_MAX, grpc.StatusCode.UNAVAILABLE), (1, grpc.StatusCode.PERMISSION_DENIED)]
)
def test_a_server_that_goes_on_failing_or_refuses_gives_no_verdict(run, flaky, times, code):
    flaky(times=times, code=code)
    with pytest.raises(CallFailed):
        run.judge()


def test_a_journal_is_read_as_it_was_written(run, tmp_path):
    file = tmp_path / "run.jsonl"
    journal.Journal(run.entries).write(file)
    assert journal.read_journal(file).entries == run.entries
    file.write_text('["method"]\n')
    with pytest.raises(ValueError, match="is no journal of this version of the bench"):
        journal.read_journal(file)


def test_a_journal_is_sent_in_parts_each_entry_once(run):
    parts, own = journal.Journal(), journal.Journal()
    for entry in run.entries:
        own.note(entry)
        parts.add(own.take())
    assert own.take() == []
    assert parts.entries == run.entries


def test_two_redemptions_of_one_coupon_are_found_though_their_tokens_differ(run):
    run.service.redemptions["r2"].serial = run.service.redemptions["r1"].serial
    assert run.judge() == {USED_ONCE: (f"coupon {HOT}:0 has 2 redemptions",)}


def partly(run):
    """What is wrong when a process has not sent its journal, and what was not looked at."""
    found = verdict.judge(journal.Journal(run.entries, whole=False), PLAN, run.service, None)
    return {check.name: check.wrong for check in found.checks if check.wrong}, found.not_checked


def test_what_nobody_could_tell_is_not_wrong_when_a_journal_is_missing(run):
    run.service.approve("of the lost process", HOT)
    run.service.stats[HOT].claimed += 1
    assert set(run.judge()) == {LIMITS, BUDGETS, CLAIMS}
    wrong, not_checked = partly(run)
    assert wrong == {}
    assert verdict.NOT_WHOLE in not_checked


def test_what_was_told_and_not_done_is_wrong_all_the_same(run):
    run.service.stats[HOT].redeemed -= 1
    run.service.stats[HOT].claimed -= 1
    del run.service.redemptions["r3"]
    assert set(partly(run)[0]) == {THERE, LIMITS, CLAIMS}


def test_a_limit_that_is_passed_is_wrong_all_the_same(run):
    for number in range(2):
        run.service.approve(f"of the lost process {number}", HOT)
    assert set(partly(run)[0]) == {LIMITS}
