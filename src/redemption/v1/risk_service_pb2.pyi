import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from redemption.v1 import outcome_pb2 as _outcome_pb2
from redemption.v1 import rules_pb2 as _rules_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class GetRulesRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class GetRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class UpdateRulesRequest(_message.Message):
    __slots__ = ("rules", "validate_only")
    RULES_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    validate_only: bool
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class UpdateRulesResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class TightenRuleRequest(_message.Message):
    __slots__ = ("program", "rule")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    RULE_FIELD_NUMBER: _ClassVar[int]
    program: str
    rule: _rules_pb2.TightenedRule
    def __init__(self, program: _Optional[str] = ..., rule: _Optional[_Union[_rules_pb2.TightenedRule, _Mapping]] = ...) -> None: ...

class TightenRuleResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class LoosenRuleRequest(_message.Message):
    __slots__ = ("program", "name")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    program: str
    name: str
    def __init__(self, program: _Optional[str] = ..., name: _Optional[str] = ...) -> None: ...

class LoosenRuleResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class FreezeClaimsRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class FreezeClaimsResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class ThawClaimsRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class ThawClaimsResponse(_message.Message):
    __slots__ = ("rules",)
    RULES_FIELD_NUMBER: _ClassVar[int]
    rules: _rules_pb2.Rules
    def __init__(self, rules: _Optional[_Union[_rules_pb2.Rules, _Mapping]] = ...) -> None: ...

class AddListEntriesRequest(_message.Message):
    __slots__ = ("program", "list", "subjects", "reason", "expire_time", "refs")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    program: str
    list: _rules_pb2.ListKind
    subjects: _containers.RepeatedCompositeFieldContainer[_rules_pb2.RiskSubject]
    reason: str
    expire_time: _timestamp_pb2.Timestamp
    refs: _containers.RepeatedCompositeFieldContainer[_rules_pb2.SubjectRef]
    def __init__(self, program: _Optional[str] = ..., list: _Optional[_Union[_rules_pb2.ListKind, str]] = ..., subjects: _Optional[_Iterable[_Union[_rules_pb2.RiskSubject, _Mapping]]] = ..., reason: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., refs: _Optional[_Iterable[_Union[_rules_pb2.SubjectRef, _Mapping]]] = ...) -> None: ...

class AddListEntriesResponse(_message.Message):
    __slots__ = ("entries", "total")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_rules_pb2.ListEntry]
    total: int
    def __init__(self, entries: _Optional[_Iterable[_Union[_rules_pb2.ListEntry, _Mapping]]] = ..., total: _Optional[int] = ...) -> None: ...

class RemoveListEntriesRequest(_message.Message):
    __slots__ = ("program", "list", "subjects", "refs")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    REFS_FIELD_NUMBER: _ClassVar[int]
    program: str
    list: _rules_pb2.ListKind
    subjects: _containers.RepeatedCompositeFieldContainer[_rules_pb2.RiskSubject]
    refs: _containers.RepeatedCompositeFieldContainer[_rules_pb2.SubjectRef]
    def __init__(self, program: _Optional[str] = ..., list: _Optional[_Union[_rules_pb2.ListKind, str]] = ..., subjects: _Optional[_Iterable[_Union[_rules_pb2.RiskSubject, _Mapping]]] = ..., refs: _Optional[_Iterable[_Union[_rules_pb2.SubjectRef, _Mapping]]] = ...) -> None: ...

class RemoveListEntriesResponse(_message.Message):
    __slots__ = ("removed", "total")
    REMOVED_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    removed: int
    total: int
    def __init__(self, removed: _Optional[int] = ..., total: _Optional[int] = ...) -> None: ...

class ListListEntriesRequest(_message.Message):
    __slots__ = ("program", "list", "page_size", "page_token")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    program: str
    list: _rules_pb2.ListKind
    page_size: int
    page_token: str
    def __init__(self, program: _Optional[str] = ..., list: _Optional[_Union[_rules_pb2.ListKind, str]] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListListEntriesResponse(_message.Message):
    __slots__ = ("entries", "next_page_token", "total")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    entries: _containers.RepeatedCompositeFieldContainer[_rules_pb2.ListEntry]
    next_page_token: str
    total: int
    def __init__(self, entries: _Optional[_Iterable[_Union[_rules_pb2.ListEntry, _Mapping]]] = ..., next_page_token: _Optional[str] = ..., total: _Optional[int] = ...) -> None: ...

class GetRiskStatsRequest(_message.Message):
    __slots__ = ("program",)
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    program: str
    def __init__(self, program: _Optional[str] = ...) -> None: ...

class GetRiskStatsResponse(_message.Message):
    __slots__ = ("rules", "warnings", "failures_last_minute", "locked_out", "code_budget_spent", "as_of", "lock_out")
    RULES_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    FAILURES_LAST_MINUTE_FIELD_NUMBER: _ClassVar[int]
    LOCKED_OUT_FIELD_NUMBER: _ClassVar[int]
    CODE_BUDGET_SPENT_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    LOCK_OUT_FIELD_NUMBER: _ClassVar[int]
    rules: _containers.RepeatedCompositeFieldContainer[RuleStats]
    warnings: _containers.RepeatedCompositeFieldContainer[RiskWarning]
    failures_last_minute: int
    locked_out: int
    code_budget_spent: bool
    as_of: _timestamp_pb2.Timestamp
    lock_out: RuleStats
    def __init__(self, rules: _Optional[_Iterable[_Union[RuleStats, _Mapping]]] = ..., warnings: _Optional[_Iterable[_Union[RiskWarning, _Mapping]]] = ..., failures_last_minute: _Optional[int] = ..., locked_out: _Optional[int] = ..., code_budget_spent: _Optional[bool] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., lock_out: _Optional[_Union[RuleStats, _Mapping]] = ...) -> None: ...

class RuleStats(_message.Message):
    __slots__ = ("name", "mode", "refused", "would_refuse", "without_subject")
    NAME_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    WOULD_REFUSE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    name: str
    mode: _rules_pb2.RuleMode
    refused: int
    would_refuse: int
    without_subject: int
    def __init__(self, name: _Optional[str] = ..., mode: _Optional[_Union[_rules_pb2.RuleMode, str]] = ..., refused: _Optional[int] = ..., would_refuse: _Optional[int] = ..., without_subject: _Optional[int] = ...) -> None: ...

class RiskWarning(_message.Message):
    __slots__ = ("campaign", "reason", "outcome", "description", "raise_time", "gone_time")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    RAISE_TIME_FIELD_NUMBER: _ClassVar[int]
    GONE_TIME_FIELD_NUMBER: _ClassVar[int]
    campaign: int
    reason: str
    outcome: _outcome_pb2.Outcome
    description: str
    raise_time: _timestamp_pb2.Timestamp
    gone_time: _timestamp_pb2.Timestamp
    def __init__(self, campaign: _Optional[int] = ..., reason: _Optional[str] = ..., outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., description: _Optional[str] = ..., raise_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., gone_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ListTopSubjectsRequest(_message.Message):
    __slots__ = ("program", "minutes", "subjects_max")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    MINUTES_FIELD_NUMBER: _ClassVar[int]
    SUBJECTS_MAX_FIELD_NUMBER: _ClassVar[int]
    program: str
    minutes: int
    subjects_max: int
    def __init__(self, program: _Optional[str] = ..., minutes: _Optional[int] = ..., subjects_max: _Optional[int] = ...) -> None: ...

class ListTopSubjectsResponse(_message.Message):
    __slots__ = ("subjects",)
    SUBJECTS_FIELD_NUMBER: _ClassVar[int]
    subjects: _containers.RepeatedCompositeFieldContainer[TopSubject]
    def __init__(self, subjects: _Optional[_Iterable[_Union[TopSubject, _Mapping]]] = ...) -> None: ...

class TopSubject(_message.Message):
    __slots__ = ("subject", "refused", "failures")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    subject: _rules_pb2.SubjectRef
    refused: int
    failures: int
    def __init__(self, subject: _Optional[_Union[_rules_pb2.SubjectRef, _Mapping]] = ..., refused: _Optional[int] = ..., failures: _Optional[int] = ...) -> None: ...

class GetSubjectRequest(_message.Message):
    __slots__ = ("program", "subject", "ref")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    REF_FIELD_NUMBER: _ClassVar[int]
    program: str
    subject: _rules_pb2.RiskSubject
    ref: _rules_pb2.SubjectRef
    def __init__(self, program: _Optional[str] = ..., subject: _Optional[_Union[_rules_pb2.RiskSubject, _Mapping]] = ..., ref: _Optional[_Union[_rules_pb2.SubjectRef, _Mapping]] = ...) -> None: ...

class GetSubjectResponse(_message.Message):
    __slots__ = ("subject", "entries", "counts", "refused", "failures", "locked_until")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    LOCKED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    subject: _rules_pb2.SubjectRef
    entries: _containers.RepeatedCompositeFieldContainer[_rules_pb2.ListEntry]
    counts: _containers.RepeatedCompositeFieldContainer[SubjectCount]
    refused: int
    failures: int
    locked_until: _timestamp_pb2.Timestamp
    def __init__(self, subject: _Optional[_Union[_rules_pb2.SubjectRef, _Mapping]] = ..., entries: _Optional[_Iterable[_Union[_rules_pb2.ListEntry, _Mapping]]] = ..., counts: _Optional[_Iterable[_Union[SubjectCount, _Mapping]]] = ..., refused: _Optional[int] = ..., failures: _Optional[int] = ..., locked_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class SubjectCount(_message.Message):
    __slots__ = ("rule", "left", "try_after", "customers")
    RULE_FIELD_NUMBER: _ClassVar[int]
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    rule: str
    left: int
    try_after: _timestamp_pb2.Timestamp
    customers: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, rule: _Optional[str] = ..., left: _Optional[int] = ..., try_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., customers: _Optional[_Iterable[str]] = ...) -> None: ...
