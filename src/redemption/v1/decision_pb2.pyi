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

class Allocation(_message.Message):
    __slots__ = ("line_id", "amount_minor", "merchant_minor")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_MINOR_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    amount_minor: int
    merchant_minor: int
    def __init__(self, line_id: _Optional[str] = ..., amount_minor: _Optional[int] = ..., merchant_minor: _Optional[int] = ...) -> None: ...

class Detail(_message.Message):
    __slots__ = ("missing_minor", "missing_quantity", "try_after", "conflicts", "same_order", "hold_expire_time", "redeem_time", "missing_signals")
    MISSING_MINOR_FIELD_NUMBER: _ClassVar[int]
    MISSING_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    TRY_AFTER_FIELD_NUMBER: _ClassVar[int]
    CONFLICTS_FIELD_NUMBER: _ClassVar[int]
    SAME_ORDER_FIELD_NUMBER: _ClassVar[int]
    HOLD_EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    REDEEM_TIME_FIELD_NUMBER: _ClassVar[int]
    MISSING_SIGNALS_FIELD_NUMBER: _ClassVar[int]
    missing_minor: int
    missing_quantity: int
    try_after: _timestamp_pb2.Timestamp
    conflicts: _containers.RepeatedScalarFieldContainer[int]
    same_order: bool
    hold_expire_time: _timestamp_pb2.Timestamp
    redeem_time: _timestamp_pb2.Timestamp
    missing_signals: _containers.RepeatedScalarFieldContainer[_rules_pb2.SubjectKind]
    def __init__(self, missing_minor: _Optional[int] = ..., missing_quantity: _Optional[int] = ..., try_after: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., conflicts: _Optional[_Iterable[int]] = ..., same_order: _Optional[bool] = ..., hold_expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., redeem_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., missing_signals: _Optional[_Iterable[_Union[_rules_pb2.SubjectKind, str]]] = ...) -> None: ...

class TokenVerdict(_message.Message):
    __slots__ = ("token_index", "outcome", "disposition", "campaign", "redemption_id", "discount_minor", "allocations", "detail")
    TOKEN_INDEX_FIELD_NUMBER: _ClassVar[int]
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    REDEMPTION_ID_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    ALLOCATIONS_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    token_index: int
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    campaign: int
    redemption_id: str
    discount_minor: int
    allocations: _containers.RepeatedCompositeFieldContainer[Allocation]
    detail: Detail
    def __init__(self, token_index: _Optional[int] = ..., outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ..., campaign: _Optional[int] = ..., redemption_id: _Optional[str] = ..., discount_minor: _Optional[int] = ..., allocations: _Optional[_Iterable[_Union[Allocation, _Mapping]]] = ..., detail: _Optional[_Union[Detail, _Mapping]] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("outcome", "disposition", "discount_minor", "verdicts", "settlement", "decide_time")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    VERDICTS_FIELD_NUMBER: _ClassVar[int]
    SETTLEMENT_FIELD_NUMBER: _ClassVar[int]
    DECIDE_TIME_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    discount_minor: int
    verdicts: _containers.RepeatedCompositeFieldContainer[TokenVerdict]
    settlement: bytes
    decide_time: _timestamp_pb2.Timestamp
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ..., discount_minor: _Optional[int] = ..., verdicts: _Optional[_Iterable[_Union[TokenVerdict, _Mapping]]] = ..., settlement: _Optional[bytes] = ..., decide_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
