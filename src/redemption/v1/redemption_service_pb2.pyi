import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from redemption.v1 import decision_pb2 as _decision_pb2
from redemption.v1 import order_pb2 as _order_pb2
from redemption.v1 import outcome_pb2 as _outcome_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class RedemptionState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    REDEMPTION_STATE_UNSPECIFIED: _ClassVar[RedemptionState]
    REDEMPTION_STATE_RESERVED: _ClassVar[RedemptionState]
    REDEMPTION_STATE_REDEEMED: _ClassVar[RedemptionState]
    REDEMPTION_STATE_PARTLY_REVERSED: _ClassVar[RedemptionState]
    REDEMPTION_STATE_REVERSED: _ClassVar[RedemptionState]
REDEMPTION_STATE_UNSPECIFIED: RedemptionState
REDEMPTION_STATE_RESERVED: RedemptionState
REDEMPTION_STATE_REDEEMED: RedemptionState
REDEMPTION_STATE_PARTLY_REVERSED: RedemptionState
REDEMPTION_STATE_REVERSED: RedemptionState

class RedeemRequest(_message.Message):
    __slots__ = ("request_id", "checkout")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    checkout: _order_pb2.Checkout
    def __init__(self, request_id: _Optional[str] = ..., checkout: _Optional[_Union[_order_pb2.Checkout, _Mapping]] = ...) -> None: ...

class RedeemResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ...) -> None: ...

class BatchRedeemRequest(_message.Message):
    __slots__ = ("program", "requests")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUESTS_FIELD_NUMBER: _ClassVar[int]
    program: str
    requests: _containers.RepeatedCompositeFieldContainer[RedeemRequest]
    def __init__(self, program: _Optional[str] = ..., requests: _Optional[_Iterable[_Union[RedeemRequest, _Mapping]]] = ...) -> None: ...

class BatchRedeemResponse(_message.Message):
    __slots__ = ("results",)
    RESULTS_FIELD_NUMBER: _ClassVar[int]
    results: _containers.RepeatedCompositeFieldContainer[BatchRedeemResult]
    def __init__(self, results: _Optional[_Iterable[_Union[BatchRedeemResult, _Mapping]]] = ...) -> None: ...

class BatchRedeemResult(_message.Message):
    __slots__ = ("decision", "error")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    ERROR_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    error: BatchRedeemError
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., error: _Optional[_Union[BatchRedeemError, _Mapping]] = ...) -> None: ...

class BatchRedeemError(_message.Message):
    __slots__ = ("code", "reason", "message", "field", "retry_after")
    CODE_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    MESSAGE_FIELD_NUMBER: _ClassVar[int]
    FIELD_FIELD_NUMBER: _ClassVar[int]
    RETRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    code: int
    reason: str
    message: str
    field: str
    retry_after: _duration_pb2.Duration
    def __init__(self, code: _Optional[int] = ..., reason: _Optional[str] = ..., message: _Optional[str] = ..., field: _Optional[str] = ..., retry_after: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class QuoteRequest(_message.Message):
    __slots__ = ("checkout", "choose_best", "at", "with_allocations")
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    CHOOSE_BEST_FIELD_NUMBER: _ClassVar[int]
    AT_FIELD_NUMBER: _ClassVar[int]
    WITH_ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    checkout: _order_pb2.Checkout
    choose_best: bool
    at: _timestamp_pb2.Timestamp
    with_allocations: bool
    def __init__(self, checkout: _Optional[_Union[_order_pb2.Checkout, _Mapping]] = ..., choose_best: _Optional[bool] = ..., at: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., with_allocations: _Optional[bool] = ...) -> None: ...

class QuoteResponse(_message.Message):
    __slots__ = ("together", "alone", "chosen", "exhaustive")
    TOGETHER_FIELD_NUMBER: _ClassVar[int]
    ALONE_FIELD_NUMBER: _ClassVar[int]
    CHOSEN_FIELD_NUMBER: _ClassVar[int]
    EXHAUSTIVE_FIELD_NUMBER: _ClassVar[int]
    together: _decision_pb2.Decision
    alone: _containers.RepeatedCompositeFieldContainer[_decision_pb2.TokenVerdict]
    chosen: _containers.RepeatedScalarFieldContainer[int]
    exhaustive: bool
    def __init__(self, together: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., alone: _Optional[_Iterable[_Union[_decision_pb2.TokenVerdict, _Mapping]]] = ..., chosen: _Optional[_Iterable[int]] = ..., exhaustive: _Optional[bool] = ...) -> None: ...

class ReserveRequest(_message.Message):
    __slots__ = ("request_id", "checkout", "ttl")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CHECKOUT_FIELD_NUMBER: _ClassVar[int]
    TTL_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    checkout: _order_pb2.Checkout
    ttl: _duration_pb2.Duration
    def __init__(self, request_id: _Optional[str] = ..., checkout: _Optional[_Union[_order_pb2.Checkout, _Mapping]] = ..., ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class ReserveResponse(_message.Message):
    __slots__ = ("decision", "reservation_id", "expire_time")
    DECISION_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    reservation_id: str
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ..., reservation_id: _Optional[str] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ConfirmRequest(_message.Message):
    __slots__ = ("program", "request_id", "reservation_id", "reacquire")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    REACQUIRE_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    reservation_id: str
    reacquire: bool
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., reservation_id: _Optional[str] = ..., reacquire: _Optional[bool] = ...) -> None: ...

class ConfirmResponse(_message.Message):
    __slots__ = ("decision",)
    DECISION_FIELD_NUMBER: _ClassVar[int]
    decision: _decision_pb2.Decision
    def __init__(self, decision: _Optional[_Union[_decision_pb2.Decision, _Mapping]] = ...) -> None: ...

class ReleaseRequest(_message.Message):
    __slots__ = ("program", "request_id", "reservation_id")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    RESERVATION_ID_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    reservation_id: str
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., reservation_id: _Optional[str] = ...) -> None: ...

class ReleaseResponse(_message.Message):
    __slots__ = ("outcome", "disposition")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ...) -> None: ...

class ReverseLine(_message.Message):
    __slots__ = ("line_id", "amount_minor")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    amount_minor: int
    def __init__(self, line_id: _Optional[str] = ..., amount_minor: _Optional[int] = ...) -> None: ...

class ReverseRequest(_message.Message):
    __slots__ = ("program", "request_id", "order_id", "redemption_id", "settlement", "lines", "unpaid")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    REDEMPTION_ID_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    UNPAID_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    order_id: str
    redemption_id: str
    settlement: bytes
    lines: _containers.RepeatedCompositeFieldContainer[ReverseLine]
    unpaid: bool
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., order_id: _Optional[str] = ..., redemption_id: _Optional[str] = ..., settlement: _Optional[bytes] = ..., lines: _Optional[_Iterable[_Union[ReverseLine, _Mapping]]] = ..., unpaid: _Optional[bool] = ...) -> None: ...

class ReverseResponse(_message.Message):
    __slots__ = ("outcome", "disposition", "reversed_minor", "allocations", "total_reversed_minor", "restored", "exceeded_line_id", "left_minor")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    REVERSED_MINOR_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    TOTAL_REVERSED_MINOR_FIELD_NUMBER: _ClassVar[int]
    RESTORED_FIELD_NUMBER: _ClassVar[int]
    EXCEEDED_LINE_ID_FIELD_NUMBER: _ClassVar[int]
    LEFT_MINOR_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    reversed_minor: int
    allocations: _containers.RepeatedCompositeFieldContainer[_decision_pb2.Allocation]
    total_reversed_minor: int
    restored: bool
    exceeded_line_id: str
    left_minor: int
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ..., reversed_minor: _Optional[int] = ..., allocations: _Optional[_Iterable[_Union[_decision_pb2.Allocation, _Mapping]]] = ..., total_reversed_minor: _Optional[int] = ..., restored: _Optional[bool] = ..., exceeded_line_id: _Optional[str] = ..., left_minor: _Optional[int] = ...) -> None: ...

class GetRedemptionRequest(_message.Message):
    __slots__ = ("program", "request_id", "redemption_id")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    REDEMPTION_ID_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    redemption_id: str
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., redemption_id: _Optional[str] = ...) -> None: ...

class GetRedemptionResponse(_message.Message):
    __slots__ = ("redemptions",)
    REDEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    redemptions: _containers.RepeatedCompositeFieldContainer[Redemption]
    def __init__(self, redemptions: _Optional[_Iterable[_Union[Redemption, _Mapping]]] = ...) -> None: ...

class Redemption(_message.Message):
    __slots__ = ("redemption_id", "campaign", "serial", "discount_minor", "redeem_time", "state", "reversed_minor")
    REDEMPTION_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    REDEEM_TIME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    REVERSED_MINOR_FIELD_NUMBER: _ClassVar[int]
    redemption_id: str
    campaign: int
    serial: int
    discount_minor: int
    redeem_time: _timestamp_pb2.Timestamp
    state: RedemptionState
    reversed_minor: int
    def __init__(self, redemption_id: _Optional[str] = ..., campaign: _Optional[int] = ..., serial: _Optional[int] = ..., discount_minor: _Optional[int] = ..., redeem_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., state: _Optional[_Union[RedemptionState, str]] = ..., reversed_minor: _Optional[int] = ...) -> None: ...
