import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from redemption.v1 import decision_pb2 as _decision_pb2
from redemption.v1 import order_pb2 as _order_pb2
from redemption.v1 import outcome_pb2 as _outcome_pb2
from redemption.v1 import redemption_service_pb2 as _redemption_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class MintForm(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MINT_FORM_UNSPECIFIED: _ClassVar[MintForm]
    MINT_FORM_TOKEN: _ClassVar[MintForm]
    MINT_FORM_CODE: _ClassVar[MintForm]

class TokenState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    TOKEN_STATE_UNSPECIFIED: _ClassVar[TokenState]
    TOKEN_STATE_INVALID: _ClassVar[TokenState]
    TOKEN_STATE_UNUSED: _ClassVar[TokenState]
    TOKEN_STATE_RESERVED: _ClassVar[TokenState]
    TOKEN_STATE_REDEEMED: _ClassVar[TokenState]
    TOKEN_STATE_REVOKED: _ClassVar[TokenState]
MINT_FORM_UNSPECIFIED: MintForm
MINT_FORM_TOKEN: MintForm
MINT_FORM_CODE: MintForm
TOKEN_STATE_UNSPECIFIED: TokenState
TOKEN_STATE_INVALID: TokenState
TOKEN_STATE_UNUSED: TokenState
TOKEN_STATE_RESERVED: TokenState
TOKEN_STATE_REDEEMED: TokenState
TOKEN_STATE_REVOKED: TokenState

class MintRequest(_message.Message):
    __slots__ = ("program", "request_id", "campaign", "offer_index", "count", "customer_id", "shared", "not_before", "expire_time", "form", "skip")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    OFFER_INDEX_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    FORM_FIELD_NUMBER: _ClassVar[int]
    SKIP_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    campaign: int
    offer_index: int
    count: int
    customer_id: str
    shared: bool
    not_before: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    form: MintForm
    skip: int
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., campaign: _Optional[int] = ..., offer_index: _Optional[int] = ..., count: _Optional[int] = ..., customer_id: _Optional[str] = ..., shared: _Optional[bool] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., form: _Optional[_Union[MintForm, str]] = ..., skip: _Optional[int] = ...) -> None: ...

class MintedToken(_message.Message):
    __slots__ = ("token", "serial", "code")
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    token: str
    serial: int
    code: str
    def __init__(self, token: _Optional[str] = ..., serial: _Optional[int] = ..., code: _Optional[str] = ...) -> None: ...

class MintResponse(_message.Message):
    __slots__ = ("tokens",)
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    tokens: _containers.RepeatedCompositeFieldContainer[MintedToken]
    def __init__(self, tokens: _Optional[_Iterable[_Union[MintedToken, _Mapping]]] = ...) -> None: ...

class ClaimRequest(_message.Message):
    __slots__ = ("program", "request_id", "offer", "code", "customer", "risk")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    OFFER_FIELD_NUMBER: _ClassVar[int]
    CODE_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    offer: ClaimOffer
    code: str
    customer: _order_pb2.Customer
    risk: _order_pb2.RiskContext
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., offer: _Optional[_Union[ClaimOffer, _Mapping]] = ..., code: _Optional[str] = ..., customer: _Optional[_Union[_order_pb2.Customer, _Mapping]] = ..., risk: _Optional[_Union[_order_pb2.RiskContext, _Mapping]] = ...) -> None: ...

class ClaimOffer(_message.Message):
    __slots__ = ("campaign", "offer_index")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    OFFER_INDEX_FIELD_NUMBER: _ClassVar[int]
    campaign: int
    offer_index: int
    def __init__(self, campaign: _Optional[int] = ..., offer_index: _Optional[int] = ...) -> None: ...

class ClaimResponse(_message.Message):
    __slots__ = ("outcome", "disposition", "token", "not_before", "expire_time", "detail")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    DETAIL_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    token: str
    not_before: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    detail: _decision_pb2.Detail
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ..., token: _Optional[str] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., detail: _Optional[_Union[_decision_pb2.Detail, _Mapping]] = ...) -> None: ...

class SerialRange(_message.Message):
    __slots__ = ("first", "count")
    FIRST_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    first: int
    count: int
    def __init__(self, first: _Optional[int] = ..., count: _Optional[int] = ...) -> None: ...

class RevokeRequest(_message.Message):
    __slots__ = ("program", "request_id", "campaign", "token", "serials", "customer_id", "reason")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    SERIALS_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    program: str
    request_id: str
    campaign: int
    token: str
    serials: SerialRange
    customer_id: str
    reason: str
    def __init__(self, program: _Optional[str] = ..., request_id: _Optional[str] = ..., campaign: _Optional[int] = ..., token: _Optional[str] = ..., serials: _Optional[_Union[SerialRange, _Mapping]] = ..., customer_id: _Optional[str] = ..., reason: _Optional[str] = ...) -> None: ...

class RevokeResponse(_message.Message):
    __slots__ = ("outcome", "disposition")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    DISPOSITION_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    disposition: _outcome_pb2.Disposition
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., disposition: _Optional[_Union[_outcome_pb2.Disposition, str]] = ...) -> None: ...

class InspectTokenRequest(_message.Message):
    __slots__ = ("program", "token")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    TOKEN_FIELD_NUMBER: _ClassVar[int]
    program: str
    token: str
    def __init__(self, program: _Optional[str] = ..., token: _Optional[str] = ...) -> None: ...

class InspectTokenResponse(_message.Message):
    __slots__ = ("state", "key_id", "campaign", "offer_index", "serial", "not_before", "expire_time", "holder_bound", "shared", "redemption", "honoured_until")
    STATE_FIELD_NUMBER: _ClassVar[int]
    KEY_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    OFFER_INDEX_FIELD_NUMBER: _ClassVar[int]
    SERIAL_FIELD_NUMBER: _ClassVar[int]
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    HOLDER_BOUND_FIELD_NUMBER: _ClassVar[int]
    SHARED_FIELD_NUMBER: _ClassVar[int]
    REDEMPTION_FIELD_NUMBER: _ClassVar[int]
    HONOURED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    state: TokenState
    key_id: str
    campaign: int
    offer_index: int
    serial: int
    not_before: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    holder_bound: bool
    shared: bool
    redemption: _redemption_service_pb2.Redemption
    honoured_until: _timestamp_pb2.Timestamp
    def __init__(self, state: _Optional[_Union[TokenState, str]] = ..., key_id: _Optional[str] = ..., campaign: _Optional[int] = ..., offer_index: _Optional[int] = ..., serial: _Optional[int] = ..., not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., holder_bound: _Optional[bool] = ..., shared: _Optional[bool] = ..., redemption: _Optional[_Union[_redemption_service_pb2.Redemption, _Mapping]] = ..., honoured_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...
