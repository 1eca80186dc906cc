"""Rules as they are in force: the defaults of the contract written out, and what was tightened in an emergency."""

from google.protobuf.duration_pb2 import Duration

from redemption.v1 import rules_pb2 as v1

Rule = v1.VelocityRule | v1.AccountsRule

_LOCK_OUT = v1.LockOut(
    failures=10,
    period=Duration(seconds=60),
    wait=Duration(seconds=60),
    wait_max=Duration(seconds=3600),
    customers=v1.RULE_MODE_ENFORCE,
    devices=v1.RULE_MODE_ENFORCE,
    networks=v1.RULE_MODE_SHADOW,
    code_failures_per_minute=1000,
)
_ANSWERS_MIN = 100
BOTH = (v1.RULE_OPERATION_REDEEM, v1.RULE_OPERATION_CLAIM)


def filled(rules: v1.Rules) -> v1.Rules:
    """Return rules with every default written out, so that two of them can be compared."""
    full = v1.Rules()
    full.CopyFrom(rules)
    for velocity in full.velocity:
        if not velocity.HasField("burst"):
            velocity.burst = velocity.limit
        velocity.counts = velocity.counts or v1.RULE_COUNTS_ATTEMPTS
        _fill(velocity)
    for accounts in full.accounts:
        accounts.counts = accounts.counts or v1.RULE_COUNTS_APPROVALS
        _fill(accounts)
    lock_out = v1.LockOut()
    lock_out.CopyFrom(_LOCK_OUT)
    lock_out.MergeFrom(full.lock_out)  # what is 0 or not set leaves the default
    full.lock_out.CopyFrom(lock_out)
    for share in full.warnings.refusal_shares:
        share.answers_min = share.answers_min or _ANSWERS_MIN
    return full


def tightened(rule: Rule, change: v1.TightenedRule) -> Rule:
    """Return a rule, with its defaults written out, as it is in force after it was tightened."""
    if isinstance(rule, v1.AccountsRule):
        accounts = v1.AccountsRule()
        accounts.CopyFrom(rule)
        accounts.mode = _tighter_mode(accounts.mode, change.mode)
        if change.HasField("limit"):
            accounts.customers = min(change.limit, accounts.customers)
        return accounts
    velocity = v1.VelocityRule()
    velocity.CopyFrom(rule)
    velocity.mode = _tighter_mode(velocity.mode, change.mode)
    if change.HasField("limit"):
        velocity.limit = min(change.limit, velocity.limit)
        velocity.burst = min(change.limit, velocity.burst)
    if change.HasField("burst"):
        velocity.burst = min(change.burst, rule.burst)
    return velocity


def _tighter_mode(applied: v1.RuleMode, change: v1.RuleMode) -> v1.RuleMode:
    return v1.RULE_MODE_ENFORCE if change == v1.RULE_MODE_ENFORCE else applied


def _fill(rule: Rule) -> None:
    network = rule.subject == v1.SUBJECT_KIND_NETWORK
    rule.mode = rule.mode or (v1.RULE_MODE_SHADOW if network else v1.RULE_MODE_ENFORCE)
    rule.without_subject = rule.without_subject or v1.WITHOUT_SUBJECT_PASS
    rule.operations[:] = sorted(set(rule.operations)) or BOTH
