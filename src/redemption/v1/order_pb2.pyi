from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Line(_message.Message):
    __slots__ = ("line_id", "sku", "merchant_id", "brand", "categories", "quantity", "amount_minor", "list_amount_minor")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    SKU_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    BRAND_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    QUANTITY_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    LIST_AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    sku: str
    merchant_id: str
    brand: str
    categories: _containers.RepeatedScalarFieldContainer[str]
    quantity: int
    amount_minor: int
    list_amount_minor: int
    def __init__(self, line_id: _Optional[str] = ..., sku: _Optional[str] = ..., merchant_id: _Optional[str] = ..., brand: _Optional[str] = ..., categories: _Optional[_Iterable[str]] = ..., quantity: _Optional[int] = ..., amount_minor: _Optional[int] = ..., list_amount_minor: _Optional[int] = ...) -> None: ...

class Shipping(_message.Message):
    __slots__ = ("line_id", "merchant_id", "region", "amount_minor")
    LINE_ID_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_ID_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    line_id: str
    merchant_id: str
    region: str
    amount_minor: int
    def __init__(self, line_id: _Optional[str] = ..., merchant_id: _Optional[str] = ..., region: _Optional[str] = ..., amount_minor: _Optional[int] = ...) -> None: ...

class Order(_message.Message):
    __slots__ = ("order_id", "currency_code", "lines", "shipping", "channel", "store_id", "payment_method", "group_size")
    ORDER_ID_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    LINES_FIELD_NUMBER: _ClassVar[int]
    SHIPPING_FIELD_NUMBER: _ClassVar[int]
    CHANNEL_FIELD_NUMBER: _ClassVar[int]
    STORE_ID_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHOD_FIELD_NUMBER: _ClassVar[int]
    GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    order_id: str
    currency_code: str
    lines: _containers.RepeatedCompositeFieldContainer[Line]
    shipping: _containers.RepeatedCompositeFieldContainer[Shipping]
    channel: str
    store_id: str
    payment_method: str
    group_size: int
    def __init__(self, order_id: _Optional[str] = ..., currency_code: _Optional[str] = ..., lines: _Optional[_Iterable[_Union[Line, _Mapping]]] = ..., shipping: _Optional[_Iterable[_Union[Shipping, _Mapping]]] = ..., channel: _Optional[str] = ..., store_id: _Optional[str] = ..., payment_method: _Optional[str] = ..., group_size: _Optional[int] = ...) -> None: ...

class Customer(_message.Message):
    __slots__ = ("customer_id", "tier", "segments", "is_new", "person_id")
    CUSTOMER_ID_FIELD_NUMBER: _ClassVar[int]
    TIER_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    IS_NEW_FIELD_NUMBER: _ClassVar[int]
    PERSON_ID_FIELD_NUMBER: _ClassVar[int]
    customer_id: str
    tier: str
    segments: _containers.RepeatedScalarFieldContainer[str]
    is_new: bool
    person_id: str
    def __init__(self, customer_id: _Optional[str] = ..., tier: _Optional[str] = ..., segments: _Optional[_Iterable[str]] = ..., is_new: _Optional[bool] = ..., person_id: _Optional[str] = ...) -> None: ...

class RiskContext(_message.Message):
    __slots__ = ("device_id", "network_address", "payment_fingerprint")
    DEVICE_ID_FIELD_NUMBER: _ClassVar[int]
    NETWORK_ADDRESS_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_FINGERPRINT_FIELD_NUMBER: _ClassVar[int]
    device_id: str
    network_address: str
    payment_fingerprint: str
    def __init__(self, device_id: _Optional[str] = ..., network_address: _Optional[str] = ..., payment_fingerprint: _Optional[str] = ...) -> None: ...

class Checkout(_message.Message):
    __slots__ = ("program", "tokens", "order", "customer", "risk")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    TOKENS_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    RISK_FIELD_NUMBER: _ClassVar[int]
    program: str
    tokens: _containers.RepeatedScalarFieldContainer[str]
    order: Order
    customer: Customer
    risk: RiskContext
    def __init__(self, program: _Optional[str] = ..., tokens: _Optional[_Iterable[str]] = ..., order: _Optional[_Union[Order, _Mapping]] = ..., customer: _Optional[_Union[Customer, _Mapping]] = ..., risk: _Optional[_Union[RiskContext, _Mapping]] = ...) -> None: ...
