import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from redemption.v1 import outcome_pb2 as _outcome_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SubjectKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SUBJECT_KIND_UNSPECIFIED: _ClassVar[SubjectKind]
    SUBJECT_KIND_CUSTOMER: _ClassVar[SubjectKind]
    SUBJECT_KIND_PERSON: _ClassVar[SubjectKind]
    SUBJECT_KIND_DEVICE: _ClassVar[SubjectKind]
    SUBJECT_KIND_NETWORK: _ClassVar[SubjectKind]
    SUBJECT_KIND_PAYMENT: _ClassVar[SubjectKind]
    SUBJECT_KIND_COUPON: _ClassVar[SubjectKind]

class RuleMode(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_MODE_UNSPECIFIED: _ClassVar[RuleMode]
    RULE_MODE_ENFORCE: _ClassVar[RuleMode]
    RULE_MODE_SHADOW: _ClassVar[RuleMode]

class RuleCounts(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_COUNTS_UNSPECIFIED: _ClassVar[RuleCounts]
    RULE_COUNTS_ATTEMPTS: _ClassVar[RuleCounts]
    RULE_COUNTS_APPROVALS: _ClassVar[RuleCounts]

class WithoutSubject(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WITHOUT_SUBJECT_UNSPECIFIED: _ClassVar[WithoutSubject]
    WITHOUT_SUBJECT_PASS: _ClassVar[WithoutSubject]
    WITHOUT_SUBJECT_REFUSE: _ClassVar[WithoutSubject]

class RuleOperation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RULE_OPERATION_UNSPECIFIED: _ClassVar[RuleOperation]
    RULE_OPERATION_REDEEM: _ClassVar[RuleOperation]
    RULE_OPERATION_CLAIM: _ClassVar[RuleOperation]

class ListKind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LIST_KIND_UNSPECIFIED: _ClassVar[ListKind]
    LIST_KIND_DENY: _ClassVar[ListKind]
    LIST_KIND_ALLOW: _ClassVar[ListKind]
SUBJECT_KIND_UNSPECIFIED: SubjectKind
SUBJECT_KIND_CUSTOMER: SubjectKind
SUBJECT_KIND_PERSON: SubjectKind
SUBJECT_KIND_DEVICE: SubjectKind
SUBJECT_KIND_NETWORK: SubjectKind
SUBJECT_KIND_PAYMENT: SubjectKind
SUBJECT_KIND_COUPON: SubjectKind
RULE_MODE_UNSPECIFIED: RuleMode
RULE_MODE_ENFORCE: RuleMode
RULE_MODE_SHADOW: RuleMode
RULE_COUNTS_UNSPECIFIED: RuleCounts
RULE_COUNTS_ATTEMPTS: RuleCounts
RULE_COUNTS_APPROVALS: RuleCounts
WITHOUT_SUBJECT_UNSPECIFIED: WithoutSubject
WITHOUT_SUBJECT_PASS: WithoutSubject
WITHOUT_SUBJECT_REFUSE: WithoutSubject
RULE_OPERATION_UNSPECIFIED: RuleOperation
RULE_OPERATION_REDEEM: RuleOperation
RULE_OPERATION_CLAIM: RuleOperation
LIST_KIND_UNSPECIFIED: ListKind
LIST_KIND_DENY: ListKind
LIST_KIND_ALLOW: ListKind

class VelocityRule(_message.Message):
    __slots__ = ("name", "subject", "campaign", "limit", "period", "burst", "counts", "mode", "without_subject", "operations")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    subject: SubjectKind
    campaign: int
    limit: int
    period: _duration_pb2.Duration
    burst: int
    counts: RuleCounts
    mode: RuleMode
    without_subject: WithoutSubject
    operations: _containers.RepeatedScalarFieldContainer[RuleOperation]
    def __init__(self, name: _Optional[str] = ..., subject: _Optional[_Union[SubjectKind, str]] = ..., campaign: _Optional[int] = ..., limit: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., burst: _Optional[int] = ..., counts: _Optional[_Union[RuleCounts, str]] = ..., mode: _Optional[_Union[RuleMode, str]] = ..., without_subject: _Optional[_Union[WithoutSubject, str]] = ..., operations: _Optional[_Iterable[_Union[RuleOperation, str]]] = ...) -> None: ...

class AccountsRule(_message.Message):
    __slots__ = ("name", "subject", "campaign", "customers", "window", "counts", "mode", "without_subject", "operations")
    NAME_FIELD_NUMBER: _ClassVar[int]
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    WINDOW_FIELD_NUMBER: _ClassVar[int]
    COUNTS_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    WITHOUT_SUBJECT_FIELD_NUMBER: _ClassVar[int]
    OPERATIONS_FIELD_NUMBER: _ClassVar[int]
    name: str
    subject: SubjectKind
    campaign: int
    customers: int
    window: _duration_pb2.Duration
    counts: RuleCounts
    mode: RuleMode
    without_subject: WithoutSubject
    operations: _containers.RepeatedScalarFieldContainer[RuleOperation]
    def __init__(self, name: _Optional[str] = ..., subject: _Optional[_Union[SubjectKind, str]] = ..., campaign: _Optional[int] = ..., customers: _Optional[int] = ..., window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., counts: _Optional[_Union[RuleCounts, str]] = ..., mode: _Optional[_Union[RuleMode, str]] = ..., without_subject: _Optional[_Union[WithoutSubject, str]] = ..., operations: _Optional[_Iterable[_Union[RuleOperation, str]]] = ...) -> None: ...

class LockOut(_message.Message):
    __slots__ = ("failures", "period", "wait", "wait_max", "customers", "devices", "networks", "code_failures_per_minute")
    FAILURES_FIELD_NUMBER: _ClassVar[int]
    PERIOD_FIELD_NUMBER: _ClassVar[int]
    WAIT_FIELD_NUMBER: _ClassVar[int]
    WAIT_MAX_FIELD_NUMBER: _ClassVar[int]
    CUSTOMERS_FIELD_NUMBER: _ClassVar[int]
    DEVICES_FIELD_NUMBER: _ClassVar[int]
    NETWORKS_FIELD_NUMBER: _ClassVar[int]
    CODE_FAILURES_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    failures: int
    period: _duration_pb2.Duration
    wait: _duration_pb2.Duration
    wait_max: _duration_pb2.Duration
    customers: RuleMode
    devices: RuleMode
    networks: RuleMode
    code_failures_per_minute: int
    def __init__(self, failures: _Optional[int] = ..., period: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., wait_max: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., customers: _Optional[_Union[RuleMode, str]] = ..., devices: _Optional[_Union[RuleMode, str]] = ..., networks: _Optional[_Union[RuleMode, str]] = ..., code_failures_per_minute: _Optional[int] = ...) -> None: ...

class WarningThresholds(_message.Message):
    __slots__ = ("refusal_shares", "budget_spent_basis_points", "budget_gone_within", "claims_per_minute")
    REFUSAL_SHARES_FIELD_NUMBER: _ClassVar[int]
    BUDGET_SPENT_BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_GONE_WITHIN_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_PER_MINUTE_FIELD_NUMBER: _ClassVar[int]
    refusal_shares: _containers.RepeatedCompositeFieldContainer[RefusalShare]
    budget_spent_basis_points: int
    budget_gone_within: _duration_pb2.Duration
    claims_per_minute: int
    def __init__(self, refusal_shares: _Optional[_Iterable[_Union[RefusalShare, _Mapping]]] = ..., budget_spent_basis_points: _Optional[int] = ..., budget_gone_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., claims_per_minute: _Optional[int] = ...) -> None: ...

class RefusalShare(_message.Message):
    __slots__ = ("outcome", "basis_points", "answers_min")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    ANSWERS_MIN_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    basis_points: int
    answers_min: int
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., basis_points: _Optional[int] = ..., answers_min: _Optional[int] = ...) -> None: ...

class Rules(_message.Message):
    __slots__ = ("program", "velocity", "accounts", "lock_out", "warnings", "etag", "tightened", "claims_frozen")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    VELOCITY_FIELD_NUMBER: _ClassVar[int]
    ACCOUNTS_FIELD_NUMBER: _ClassVar[int]
    LOCK_OUT_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    TIGHTENED_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_FROZEN_FIELD_NUMBER: _ClassVar[int]
    program: str
    velocity: _containers.RepeatedCompositeFieldContainer[VelocityRule]
    accounts: _containers.RepeatedCompositeFieldContainer[AccountsRule]
    lock_out: LockOut
    warnings: WarningThresholds
    etag: str
    tightened: _containers.RepeatedCompositeFieldContainer[TightenedRule]
    claims_frozen: bool
    def __init__(self, program: _Optional[str] = ..., velocity: _Optional[_Iterable[_Union[VelocityRule, _Mapping]]] = ..., accounts: _Optional[_Iterable[_Union[AccountsRule, _Mapping]]] = ..., lock_out: _Optional[_Union[LockOut, _Mapping]] = ..., warnings: _Optional[_Union[WarningThresholds, _Mapping]] = ..., etag: _Optional[str] = ..., tightened: _Optional[_Iterable[_Union[TightenedRule, _Mapping]]] = ..., claims_frozen: _Optional[bool] = ...) -> None: ...

class TightenedRule(_message.Message):
    __slots__ = ("name", "limit", "burst", "mode")
    NAME_FIELD_NUMBER: _ClassVar[int]
    LIMIT_FIELD_NUMBER: _ClassVar[int]
    BURST_FIELD_NUMBER: _ClassVar[int]
    MODE_FIELD_NUMBER: _ClassVar[int]
    name: str
    limit: int
    burst: int
    mode: RuleMode
    def __init__(self, name: _Optional[str] = ..., limit: _Optional[int] = ..., burst: _Optional[int] = ..., mode: _Optional[_Union[RuleMode, str]] = ...) -> None: ...

class CouponSerial(_message.Message):
    __slots__ = ("campaign", "serial")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    campaign: int
    serial: int
    def __init__(self, campaign: _Optional[int] = ..., serial: _Optional[int] = ...) -> None: ...

class RiskSubject(_message.Message):
    __slots__ = ("customer_id", "person_id", "device_id", "network", "payment_fingerprint", "coupon")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    COUPON_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    person_id: str
    device_id: str
    network: str
    payment_fingerprint: str
    coupon: CouponSerial
    def __init__(self, customer_id: _Optional[str] = ..., person_id: _Optional[str] = ..., device_id: _Optional[str] = ..., network: _Optional[str] = ..., payment_fingerprint: _Optional[str] = ..., coupon: _Optional[_Union[CouponSerial, _Mapping]] = ...) -> None: ...

class SubjectRef(_message.Message):
    __slots__ = ("kind", "id")
    KIND_FIELD_NUMBER: _ClassVar[int]
    ID_FIELD_NUMBER: _ClassVar[int]
    kind: SubjectKind
    id: str
    def __init__(self, kind: _Optional[_Union[SubjectKind, str]] = ..., id: _Optional[str] = ...) -> None: ...

class ListEntry(_message.Message):
    __slots__ = ("subject", "list", "reason", "expire_time", "add_time", "principal")
    SUBJECT_FIELD_NUMBER: _ClassVar[int]
    LIST_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    ADD_TIME_FIELD_NUMBER: _ClassVar[int]
    PRINCIPAL_FIELD_NUMBER: _ClassVar[int]
    subject: SubjectRef
    list: ListKind
    reason: str
    expire_time: _timestamp_pb2.Timestamp
    add_time: _timestamp_pb2.Timestamp
    principal: str
    def __init__(self, subject: _Optional[_Union[SubjectRef, _Mapping]] = ..., list: _Optional[_Union[ListKind, str]] = ..., reason: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., add_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., principal: _Optional[str] = ...) -> None: ...
