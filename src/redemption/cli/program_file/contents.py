"""The fields of a program file, in the words of those who keep a program from being abused.

``schema`` makes a JSON Schema of this model: editors show the docstrings of the parts and fields.
"""

from redemption.cli.campaign_file.part import Part
from redemption.cli.campaign_file.values import Percent, Several, Text
from redemption.cli.program_file.values import (
    AnswersMin,
    CodeFailures,
    Count,
    CountsName,
    Customers,
    Failures,
    ModeName,
    Operations,
    OutcomeName,
    RateText,
    SharedName,
    Span,
    SubjectName,
    WithoutName,
)
from redemption.v1 import rules_pb2 as v1


class VelocityPart(Part):
    """Limits how often somebody tries, or succeeds, in a period (频控)."""

    contract = v1.VelocityRule.DESCRIPTOR

    name: Text
    """What it is called, once in a program: a-z, 0-9, hyphen, underscore. A rule is known by its name."""
    subject: SubjectName
    """Who is counted: customer, person, device, network (the address) or payment (the instrument)."""
    limit: RateText
    """How many in a period, evenly spread, such as 5 per 1m."""
    burst: Count | None = None
    """How many at once; left out, as many as in the limit."""
    counts: CountsName | None = None
    """attempts: every one that is decided, which it is when left out. approvals: only those that succeed."""
    mode: ModeName | None = None
    """enforce: refuse. shadow: only count whom it would refuse. Left out: shadow for network, else enforce."""
    without_subject: WithoutName | None = None
    """Requests that do not say their subject: pass, which it is when left out, or refuse."""
    campaign: Text | None = None
    """Only coupons of this campaign, by its number or its name; left out, all of the program."""
    operations: Operations = ()
    """What it judges: redeem, claim; left out, both."""


class AccountsPart(Part):
    """Limits how many customers use one device, address or payment instrument (设备聚集)."""

    contract = v1.AccountsRule.DESCRIPTOR

    name: Text
    """What it is called, once in a program: a-z, 0-9, hyphen, underscore. A rule is known by its name."""
    subject: SharedName
    """What the customers share: device, network or payment."""
    customers: Customers
    """How many different customers."""
    window: Span
    """A customer counts until this long after it was counted last, such as 1d."""
    counts: CountsName | None = None
    """approvals: those who succeed, which it is when left out. attempts: all who are decided."""
    mode: ModeName | None = None
    """enforce: refuse. shadow: only count whom it would refuse. Left out: shadow for network, else enforce."""
    without_subject: WithoutName | None = None
    """Requests without the subject or without a customer: pass, which it is when left out, or refuse."""
    campaign: Text | None = None
    """Only coupons of this campaign, by its number or its name; left out, all of the program."""
    operations: Operations = ()
    """What it judges: redeem, claim; left out, both."""


class LockOutPart(Part):
    """What happens to those who guess tokens and exchange codes (防猜码)."""

    contract = v1.LockOut.DESCRIPTOR

    failures: Failures | None = None
    """So many failures within the period lock out; left out, 10. With shadow for all three, nobody is locked out."""
    period: Span | None = None
    """The period; left out, 1m."""
    wait: Span | None = None
    """How long the first lock-out lasts, each further one twice as long; left out, 1m."""
    wait_max: Span | None = None
    """The longest lock-out; left out, 1h."""
    customers: ModeName | None = None
    """Whether customers are locked out: enforce, which it is when left out, or shadow."""
    devices: ModeName | None = None
    """Whether devices are locked out: enforce, which it is when left out, or shadow."""
    networks: ModeName | None = None
    """Whether addresses are locked out: enforce, or shadow, which it is when left out: many people share one."""
    code_failures_per_minute: CodeFailures | None = None
    """So many exchange codes may fail in the whole program in a minute; left out, 1000."""


class SharePart(Part):
    """Warns of the share of one refusal among all answers of a minute."""

    contract = v1.RefusalShare.DESCRIPTOR

    outcome: OutcomeName
    """The refusal, such as TOKEN_EXPIRED."""
    share: Percent
    """Warn from this share on, such as 20%."""
    answers_min: AnswersMin | None = None
    """Only when there were so many answers; left out, 100."""


class WarningsPart(Part):
    """When to warn early (预警); what is left out warns of nothing."""

    contract = v1.WarningThresholds.DESCRIPTOR

    refusal_shares: Several[SharePart] = ()
    """Shares of refusals among the answers of a minute."""
    budget_spent: Percent | None = None
    """Warn when so much of a campaign's budget is spent, such as 80%."""
    budget_gone_within: Span | None = None
    """Warn when a budget is gone within this time at the present pace, such as 1h."""
    claims_per_minute: Count | None = None
    """Warn when a campaign has more claims than this in a minute."""


class ProgramPart(Part):
    """All rules of a program against abuse. What the file does not have is not in force."""

    contract = v1.Rules.DESCRIPTOR

    program: Text
    """The program whose rules these are."""
    velocity: Several[VelocityPart] = ()
    """How often somebody may try, or succeed."""
    accounts: Several[AccountsPart] = ()
    """How many customers may share a device, an address or a payment instrument."""
    lock_out: LockOutPart | None = None
    """Those who guess; left out, the defaults."""
    warnings: WarningsPart | None = None
    """When to warn early; left out, never."""
