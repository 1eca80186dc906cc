"""``fraud``: what the rules did, who tried most in vain, what is known of somebody."""
# ruff: noqa: E501 - what is printed is compared in one piece.

import io
import json
import time

import pytest
from cli.answers import NOW
from cli.risk_desk import ref_of
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import outcome_pb2 as outcomes
from redemption.v1 import risk_service_pb2 as risk
from redemption.v1 import rules_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import ListCampaignsResponse


def at(seconds):
    return Timestamp(seconds=NOW + seconds)


@pytest.fixture(autouse=True)
def _shanghai(monkeypatch):
    """Instants are told in the machine's zone."""
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    monkeypatch.setattr("redemption.cli.fraud._now", lambda: NOW)
    yield
    monkeypatch.undo()
    time.tzset()


STATS = risk.GetRiskStatsResponse(
    rules=[
        risk.RuleStats(name="device-burst", mode=v1.RULE_MODE_ENFORCE, refused=1234, without_subject=5),
        risk.RuleStats(name="network-rate", mode=v1.RULE_MODE_SHADOW, would_refuse=999),
    ],
    warnings=[
        risk.RiskWarning(
            campaign=3,
            reason="REFUSAL_SHARE",
            outcome=outcomes.OUTCOME_TOKEN_EXPIRED,
            description="23% of 1,400 answers are TOKEN_EXPIRED",
            raise_time=at(0),
        ),
        risk.RiskWarning(
            campaign=9, reason="BUDGET_GONE_SOON", description="in 12 minutes", raise_time=at(9), gone_time=at(720)
        ),
    ],
    failures_last_minute=4321,
    locked_out=17,
    code_budget_spent=True,
    lock_out=risk.RuleStats(refused=8, would_refuse=9),
    as_of=at(10),
)


def test_warnings_come_first_and_rules_have_their_numbers(command, fake, desk, monkeypatch):
    """And what of an emergency is in force, so that nobody reads the numbers as those of the file."""
    monkeypatch.setenv("REDEMPTION_SERVER", fake.address)
    ask = command
    desk.rules = v1.Rules(
        program="shop",
        velocity=[v1.VelocityRule(name="device-burst", limit=5, period={"seconds": 60})],
        tightened=[v1.TightenedRule(name="device-burst", limit=2)],
        claims_frozen=True,
    )
    fake.answers |= {
        "ListListEntries": risk.ListListEntriesResponse(total=1),
        "GetRiskStats": STATS,
        "ListCampaigns": ListCampaignsResponse(campaigns=[Campaign(number=3, name="双11 满300减40")]),
    }
    ended = ask("fraud", "stats", "--program", "shop")
    assert (ended.code, ended.err, fake.asked["GetRiskStats"][0].program) == (0, "", "shop")
    assert ended.out == (
        "WARNING   campaign 3 双11 满300减40   REFUSAL_SHARE TOKEN_EXPIRED\n"
        "          23% of 1,400 answers are TOKEN_EXPIRED   since 2026-11-11 20:30 +08:00\n"
        "WARNING   campaign 9   BUDGET_GONE_SOON\n"
        "          in 12 minutes   since 2026-11-11 20:30:09 +08:00, gone at 2026-11-11 20:42 +08:00\n"
        "WARNING   too many exchange codes fail in the whole program: whoever has failed lately waits\n"
        "claims of program shop are frozen; to take it back: redemption program thaw-claims --program shop\n"
        "rule device-burst is tightened; to take it back: redemption program loosen device-burst --program shop\n"
        "program shop, as of 2026-11-11 20:30:10 +08:00\n"
        "rule           mode      refused   would refuse   without subject\n"
        "device-burst   enforce     1,234              0                 5\n"
        "network-rate   shadow          0            999                 0\n"
        "4,321 tokens and exchange codes failed in the last minute; 17 subjects are locked out, as far as the server process that answered knows\n"
        "the deny list and the allow list have 1 entry together\n"
        "lock-out let 8 guesses wait; where it is in shadow, it would have let 9 wait\n"
    )


def test_a_quiet_program_is_four_lines(ask, fake, desk):
    fake.answers["GetRiskStats"] = risk.GetRiskStatsResponse(as_of=at(0))
    ended = ask("fraud", "stats")
    assert ended.out.splitlines()[:2] == [
        "program demo, as of 2026-11-11 20:30 +08:00",
        "it has no velocity and no accounts rules",
    ]
    assert fake.asked["ListCampaigns"] == []  # nobody needs names


TOP = risk.ListTopSubjectsResponse(
    subjects=[
        risk.TopSubject(
            subject=v1.SubjectRef(kind=v1.SUBJECT_KIND_DEVICE, id="0123456789abcdef"), refused=12_345, failures=3
        ),
        risk.TopSubject(subject=v1.SubjectRef(kind=v1.SUBJECT_KIND_CUSTOMER, id="fedcba9876543210"), refused=4),
    ]
)


def test_those_who_tried_most_in_vain_are_listed(ask, fake):
    fake.answers["ListTopSubjects"] = TOP
    ended = ask("fraud", "top", "--minutes", "1", "--count", "5")
    assert ended.code == 0
    assert ended.out == (
        "who tried most in vain in the last minute, since 2026-11-11 20:30 +08:00\n"
        "subject                     refused   failures\n"
        "device:0123456789abcdef      12,345          3\n"
        "customer:fedcba9876543210         4          0\n"
    )
    (request,) = fake.asked["ListTopSubjects"]
    assert (request.minutes, request.subjects_max) == (1, 5)


def test_nobody_tried_anything(ask, fake):
    fake.answers["ListTopSubjects"] = risk.ListTopSubjectsResponse()
    assert ask("fraud", "top").out == (
        "nobody tried anything in vain in the last 10 minutes, since 2026-11-11 20:21 +08:00\n"
    )


@pytest.mark.parametrize(
    ("count", "told"), [(2, "there may be more than these 2 (--count, at most 100)"), (3, "customer:")]
)
def test_it_is_told_that_there_may_be_more(ask, fake, count, told):
    fake.answers["ListTopSubjects"] = TOP
    assert ask("fraud", "top", "--count", count).out.splitlines()[-1].startswith(told)


@pytest.mark.parametrize(
    ("minutes", "problem"),
    [(0, "must be at least 1"), (61, "must be at most 60"), ("ten", "must be a whole number")],
)
def test_minutes_have_a_bound(ask, fake, minutes, problem):
    ended = ask("fraud", "top", "--minutes", minutes)
    assert (ended.code, dict(fake.asked)) == (2, {})
    assert ended.err.startswith(f"redemption fraud top: invalid value for '--minutes': {problem}; see ")


def known(request, _context):
    """Much is known of a device, and nothing of others."""
    ref = request.ref if request.HasField("ref") else ref_of(request.subject)
    if ref.kind != v1.SUBJECT_KIND_DEVICE:
        return risk.GetSubjectResponse(subject=ref)
    through = v1.SubjectRef(kind=v1.SUBJECT_KIND_NETWORK, id="192.0.2.0/24")
    return risk.GetSubjectResponse(
        subject=ref,
        entries=[
            v1.ListEntry(subject=ref, list=v1.LIST_KIND_DENY, reason="脚本", add_time=at(0), principal="ann"),
            v1.ListEntry(subject=through, list=v1.LIST_KIND_ALLOW, add_time=at(0), principal="ben", expire_time=at(60)),
            v1.ListEntry(subject=ref, list=v1.LIST_KIND_ALLOW, add_time=at(-9), principal="ben", expire_time=at(-5)),
        ],
        counts=[
            risk.SubjectCount(rule="device-burst", left=0, try_after=at(12)),
            risk.SubjectCount(rule="device-farm", left=1, customers=["0123456789abcdef", "fedcba9876543210"]),
        ],
        refused=17,
        failures=2,
        locked_until=at(600),
    )


def test_all_that_is_known_of_somebody_is_told(command, fake, monkeypatch):
    """Of each kind that the value can be; the ones of which nothing is known come last."""
    monkeypatch.setenv("REDEMPTION_SERVER", fake.address)
    fake.answers["GetSubject"] = known
    ended = command("fraud", "who", "d-1", "--program", "demo")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "device:0000000000642d31\n"
        "  on the deny list: 脚本   for good, since 2026-11-11 20:30 +08:00, by ann\n"
        "    to take it off: redemption deny remove --id device:0000000000642d31 --program demo\n"
        "  on the allow list as network:192.0.2.0/24   until 2026-11-11 20:31, since 2026-11-11 20:30 +08:00, by ben\n"
        "    to take it off: redemption allow remove --id network:192.0.2.0/24 --program demo\n"
        "  on the allow list   expired, since 2026-11-11 20:29:51 +08:00, by ben\n"
        "    to take it off: redemption allow remove --id device:0000000000642d31 --program demo\n"
        "  locked out until 2026-11-11 20:40 +08:00, as far as the server process that answered knows\n"
        "  in the last hour 17 refused, 2 failed tokens and exchange codes\n"
        "  rule           left   next                         customers\n"
        "  device-burst      0   2026-11-11 20:30:12 +08:00\n"
        "  device-farm       1                                0123456789abcdef fedcba9876543210\n"
        "customer:0000000000642d31   on no list, counted by no rule, not locked out\n"
        "person:0000000000642d31   on no list, counted by no rule, not locked out\n"
        "payment:0000000000642d31   on no list, counted by no rule, not locked out\n"
        "none of these was among the hundred with most attempts in vain in any minute of the last hour\n"
    )


@pytest.mark.parametrize(
    ("arguments", "asked"),
    [
        (("d-1", "--kind", "device"), [v1.RiskSubject(device_id="d-1")]),
        (("3:17", "--kind", "coupon"), [v1.RiskSubject(coupon=v1.CouponSerial(campaign=3, serial=17))]),
        (("满200:17", "--kind", "coupon"), [v1.RiskSubject(coupon=v1.CouponSerial(campaign=4, serial=17))]),
        (("192.0.2.0/24", "--kind", "network"), [v1.RiskSubject(network="192.0.2.0/24")]),
        (("-", "--kind", "customer"), [v1.RiskSubject(customer_id="张三")]),
    ],
)
def test_a_kind_is_the_only_one_that_is_asked_for(ask, fake, monkeypatch, arguments, asked):
    fake.answers |= {
        "GetSubject": known,
        "ListCampaigns": ListCampaignsResponse(campaigns=[Campaign(number=4, name="满200")]),
    }
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("张三\n".encode())))
    assert ask("fraud", "who", *arguments).code == 0
    assert [request.subject for request in fake.asked["GetSubject"]] == asked


def test_a_digest_is_asked_for_as_it_is_printed(ask, fake):
    """Of somebody whom fraud top showed, nobody knows the id."""
    fake.answers["GetSubject"] = known
    ended = ask("fraud", "who", "--id", "device:0123456789abcdef")
    assert (ended.code, ended.out.splitlines()[0]) == (0, "device:0123456789abcdef")
    (request,) = fake.asked["GetSubject"]
    assert (request.HasField("subject"), request.ref.id) == (False, "0123456789abcdef")


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        ("0123456789abcdef", "--id and its kind, such as --id device:0123456789abcdef"),
        ("device:0123456789abcdef", "--id device:0123456789abcdef"),
    ],
)
def test_a_digest_that_is_given_as_an_id_is_noticed(ask, fake, value, hint):
    """Else its owner would seem to be unknown."""
    fake.answers["GetSubject"] = known
    assert ask("fraud", "who", value).err == f"{value} looks like a digest: then give {hint}\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "say whom: give either VALUE or --id KIND:ID"),
        (("d", "--id", "device:0123456789abcdef"), "say whom: give either VALUE or --id KIND:ID"),
        (("--id", "device:0123456789abcdef", "--kind", "device"), "--kind says what VALUE is; --id says it itself"),
    ],
)
def test_somebody_is_named_once(ask, fake, arguments, told):
    ended = ask("fraud", "who", *arguments)
    assert (ended.code, ended.err, dict(fake.asked)) == (2, f"redemption: {told}\n", {})


def test_json_is_the_answers_of_the_contract(ask, fake):
    fake.answers |= {"GetRiskStats": STATS, "ListTopSubjects": TOP, "GetSubject": known}
    assert json_format.Parse(ask("fraud", "stats", "--json").out, risk.GetRiskStatsResponse()) == STATS
    assert json_format.Parse(ask("fraud", "top", "--json").out, risk.ListTopSubjectsResponse()) == TOP
    subjects = json.loads(ask("fraud", "who", "d-1", "--json").out)["subjects"]
    assert [each["subject"]["kind"].removeprefix("SUBJECT_KIND_") for each in subjects] == [
        *("CUSTOMER", "PERSON", "DEVICE", "PAYMENT"),
    ]
    assert subjects[2]["counts"][0]["left"] == 0
