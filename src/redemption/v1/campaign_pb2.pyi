import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from google.protobuf import timestamp_pb2 as _timestamp_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CampaignState(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    CAMPAIGN_STATE_UNSPECIFIED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_ACTIVE: _ClassVar[CampaignState]
    CAMPAIGN_STATE_PAUSED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_ENDED: _ClassVar[CampaignState]
    CAMPAIGN_STATE_ARCHIVED: _ClassVar[CampaignState]

class Measure(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    MEASURE_UNSPECIFIED: _ClassVar[Measure]
    MEASURE_SPEND: _ClassVar[Measure]
    MEASURE_UNITS: _ClassVar[Measure]

class Weekday(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    WEEKDAY_UNSPECIFIED: _ClassVar[Weekday]
    WEEKDAY_MONDAY: _ClassVar[Weekday]
    WEEKDAY_TUESDAY: _ClassVar[Weekday]
    WEEKDAY_WEDNESDAY: _ClassVar[Weekday]
    WEEKDAY_THURSDAY: _ClassVar[Weekday]
    WEEKDAY_FRIDAY: _ClassVar[Weekday]
    WEEKDAY_SATURDAY: _ClassVar[Weekday]
    WEEKDAY_SUNDAY: _ClassVar[Weekday]

class Stage(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    STAGE_UNSPECIFIED: _ClassVar[Stage]
    STAGE_ITEM: _ClassVar[Stage]
    STAGE_MERCHANT: _ClassVar[Stage]
    STAGE_PLATFORM: _ClassVar[Stage]
    STAGE_PAYMENT: _ClassVar[Stage]

class DiscountBase(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    DISCOUNT_BASE_UNSPECIFIED: _ClassVar[DiscountBase]
    DISCOUNT_BASE_REMAINING: _ClassVar[DiscountBase]
    DISCOUNT_BASE_LIST: _ClassVar[DiscountBase]

class ExclusivityReach(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    EXCLUSIVITY_REACH_UNSPECIFIED: _ClassVar[ExclusivityReach]
    EXCLUSIVITY_REACH_ORDER: _ClassVar[ExclusivityReach]
    EXCLUSIVITY_REACH_MERCHANT: _ClassVar[ExclusivityReach]

class ReturnPolicy(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RETURN_POLICY_UNSPECIFIED: _ClassVar[ReturnPolicy]
    RETURN_POLICY_NEVER: _ClassVar[ReturnPolicy]
    RETURN_POLICY_IF_UNPAID: _ClassVar[ReturnPolicy]
    RETURN_POLICY_ON_FULL_RETURN: _ClassVar[ReturnPolicy]

class RiskSignal(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    RISK_SIGNAL_UNSPECIFIED: _ClassVar[RiskSignal]
    RISK_SIGNAL_DEVICE: _ClassVar[RiskSignal]
    RISK_SIGNAL_NETWORK: _ClassVar[RiskSignal]
    RISK_SIGNAL_PAYMENT: _ClassVar[RiskSignal]
    RISK_SIGNAL_PERSON: _ClassVar[RiskSignal]
CAMPAIGN_STATE_UNSPECIFIED: CampaignState
CAMPAIGN_STATE_ACTIVE: CampaignState
CAMPAIGN_STATE_PAUSED: CampaignState
CAMPAIGN_STATE_ENDED: CampaignState
CAMPAIGN_STATE_ARCHIVED: CampaignState
MEASURE_UNSPECIFIED: Measure
MEASURE_SPEND: Measure
MEASURE_UNITS: Measure
WEEKDAY_UNSPECIFIED: Weekday
WEEKDAY_MONDAY: Weekday
WEEKDAY_TUESDAY: Weekday
WEEKDAY_WEDNESDAY: Weekday
WEEKDAY_THURSDAY: Weekday
WEEKDAY_FRIDAY: Weekday
WEEKDAY_SATURDAY: Weekday
WEEKDAY_SUNDAY: Weekday
STAGE_UNSPECIFIED: Stage
STAGE_ITEM: Stage
STAGE_MERCHANT: Stage
STAGE_PLATFORM: Stage
STAGE_PAYMENT: Stage
DISCOUNT_BASE_UNSPECIFIED: DiscountBase
DISCOUNT_BASE_REMAINING: DiscountBase
DISCOUNT_BASE_LIST: DiscountBase
EXCLUSIVITY_REACH_UNSPECIFIED: ExclusivityReach
EXCLUSIVITY_REACH_ORDER: ExclusivityReach
EXCLUSIVITY_REACH_MERCHANT: ExclusivityReach
RETURN_POLICY_UNSPECIFIED: ReturnPolicy
RETURN_POLICY_NEVER: ReturnPolicy
RETURN_POLICY_IF_UNPAID: ReturnPolicy
RETURN_POLICY_ON_FULL_RETURN: ReturnPolicy
RISK_SIGNAL_UNSPECIFIED: RiskSignal
RISK_SIGNAL_DEVICE: RiskSignal
RISK_SIGNAL_NETWORK: RiskSignal
RISK_SIGNAL_PAYMENT: RiskSignal
RISK_SIGNAL_PERSON: RiskSignal

class Campaign(_message.Message):
    __slots__ = ("program", "number", "name", "currency_code", "time_zone", "start_time", "end_time", "offers", "limits", "validity", "stacking", "return_policy", "return_window", "required_risk_signals", "sizing", "state", "etag", "create_time", "update_time", "paused_merchant_ids", "paused_skus", "paused_offers", "honoured_until", "max_reservation_ttl")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    NAME_FIELD_NUMBER: _ClassVar[int]
    CURRENCY_CODE_FIELD_NUMBER: _ClassVar[int]
    TIME_ZONE_FIELD_NUMBER: _ClassVar[int]
    START_TIME_FIELD_NUMBER: _ClassVar[int]
    END_TIME_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    LIMITS_FIELD_NUMBER: _ClassVar[int]
    VALIDITY_FIELD_NUMBER: _ClassVar[int]
    STACKING_FIELD_NUMBER: _ClassVar[int]
    RETURN_POLICY_FIELD_NUMBER: _ClassVar[int]
    RETURN_WINDOW_FIELD_NUMBER: _ClassVar[int]
    REQUIRED_RISK_SIGNALS_FIELD_NUMBER: _ClassVar[int]
    SIZING_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    ETAG_FIELD_NUMBER: _ClassVar[int]
    CREATE_TIME_FIELD_NUMBER: _ClassVar[int]
    UPDATE_TIME_FIELD_NUMBER: _ClassVar[int]
    PAUSED_MERCHANT_IDS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_SKUS_FIELD_NUMBER: _ClassVar[int]
    PAUSED_OFFERS_FIELD_NUMBER: _ClassVar[int]
    HONOURED_UNTIL_FIELD_NUMBER: _ClassVar[int]
    MAX_RESERVATION_TTL_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    name: str
    currency_code: str
    time_zone: str
    start_time: _timestamp_pb2.Timestamp
    end_time: _timestamp_pb2.Timestamp
    offers: _containers.RepeatedCompositeFieldContainer[Offer]
    limits: Limits
    validity: Validity
    stacking: Stacking
    return_policy: ReturnPolicy
    return_window: _duration_pb2.Duration
    required_risk_signals: _containers.RepeatedScalarFieldContainer[RiskSignal]
    sizing: Sizing
    state: CampaignState
    etag: str
    create_time: _timestamp_pb2.Timestamp
    update_time: _timestamp_pb2.Timestamp
    paused_merchant_ids: _containers.RepeatedScalarFieldContainer[str]
    paused_skus: _containers.RepeatedScalarFieldContainer[str]
    paused_offers: _containers.RepeatedScalarFieldContainer[int]
    honoured_until: _timestamp_pb2.Timestamp
    max_reservation_ttl: _duration_pb2.Duration
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ..., name: _Optional[str] = ..., currency_code: _Optional[str] = ..., time_zone: _Optional[str] = ..., start_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., end_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., offers: _Optional[_Iterable[_Union[Offer, _Mapping]]] = ..., limits: _Optional[_Union[Limits, _Mapping]] = ..., validity: _Optional[_Union[Validity, _Mapping]] = ..., stacking: _Optional[_Union[Stacking, _Mapping]] = ..., return_policy: _Optional[_Union[ReturnPolicy, str]] = ..., return_window: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., required_risk_signals: _Optional[_Iterable[_Union[RiskSignal, str]]] = ..., sizing: _Optional[_Union[Sizing, _Mapping]] = ..., state: _Optional[_Union[CampaignState, str]] = ..., etag: _Optional[str] = ..., create_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., update_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., paused_merchant_ids: _Optional[_Iterable[str]] = ..., paused_skus: _Optional[_Iterable[str]] = ..., paused_offers: _Optional[_Iterable[int]] = ..., honoured_until: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., max_reservation_ttl: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Offer(_message.Message):
    __slots__ = ("name", "tiers", "every_full", "percent_off", "free_shipping", "fixed_price", "buy_get", "cash_voucher", "conditions", "funding", "issue_quota")
    NAME_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    EVERY_FULL_FIELD_NUMBER: _ClassVar[int]
    PERCENT_OFF_FIELD_NUMBER: _ClassVar[int]
    FREE_SHIPPING_FIELD_NUMBER: _ClassVar[int]
    FIXED_PRICE_FIELD_NUMBER: _ClassVar[int]
    BUY_GET_FIELD_NUMBER: _ClassVar[int]
    CASH_VOUCHER_FIELD_NUMBER: _ClassVar[int]
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    FUNDING_FIELD_NUMBER: _ClassVar[int]
    ISSUE_QUOTA_FIELD_NUMBER: _ClassVar[int]
    name: str
    tiers: Tiers
    every_full: EveryFull
    percent_off: PercentOff
    free_shipping: FreeShipping
    fixed_price: FixedPrice
    buy_get: BuyGet
    cash_voucher: CashVoucher
    conditions: Conditions
    funding: Funding
    issue_quota: int
    def __init__(self, name: _Optional[str] = ..., tiers: _Optional[_Union[Tiers, _Mapping]] = ..., every_full: _Optional[_Union[EveryFull, _Mapping]] = ..., percent_off: _Optional[_Union[PercentOff, _Mapping]] = ..., free_shipping: _Optional[_Union[FreeShipping, _Mapping]] = ..., fixed_price: _Optional[_Union[FixedPrice, _Mapping]] = ..., buy_get: _Optional[_Union[BuyGet, _Mapping]] = ..., cash_voucher: _Optional[_Union[CashVoucher, _Mapping]] = ..., conditions: _Optional[_Union[Conditions, _Mapping]] = ..., funding: _Optional[_Union[Funding, _Mapping]] = ..., issue_quota: _Optional[int] = ...) -> None: ...

class Tiers(_message.Message):
    __slots__ = ("measure", "tiers")
    MEASURE_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    measure: Measure
    tiers: _containers.RepeatedCompositeFieldContainer[Tier]
    def __init__(self, measure: _Optional[_Union[Measure, str]] = ..., tiers: _Optional[_Iterable[_Union[Tier, _Mapping]]] = ...) -> None: ...

class Tier(_message.Message):
    __slots__ = ("threshold", "amount_off_minor", "percent_off_basis_points", "price_minor", "cap_minor")
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_OFF_MINOR_FIELD_NUMBER: _ClassVar[int]
    PERCENT_OFF_BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    CAP_MINOR_FIELD_NUMBER: _ClassVar[int]
    threshold: int
    amount_off_minor: int
    percent_off_basis_points: int
    price_minor: int
    cap_minor: int
    def __init__(self, threshold: _Optional[int] = ..., amount_off_minor: _Optional[int] = ..., percent_off_basis_points: _Optional[int] = ..., price_minor: _Optional[int] = ..., cap_minor: _Optional[int] = ...) -> None: ...

class EveryFull(_message.Message):
    __slots__ = ("threshold_minor", "amount_off_minor", "cap_minor")
    THRESHOLD_MINOR_FIELD_NUMBER: _ClassVar[int]
    AMOUNT_OFF_MINOR_FIELD_NUMBER: _ClassVar[int]
    CAP_MINOR_FIELD_NUMBER: _ClassVar[int]
    threshold_minor: int
    amount_off_minor: int
    cap_minor: int
    def __init__(self, threshold_minor: _Optional[int] = ..., amount_off_minor: _Optional[int] = ..., cap_minor: _Optional[int] = ...) -> None: ...

class PercentOff(_message.Message):
    __slots__ = ("basis_points", "cap_minor")
    BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    CAP_MINOR_FIELD_NUMBER: _ClassVar[int]
    basis_points: int
    cap_minor: int
    def __init__(self, basis_points: _Optional[int] = ..., cap_minor: _Optional[int] = ...) -> None: ...

class FreeShipping(_message.Message):
    __slots__ = ("cap_minor", "regions")
    CAP_MINOR_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    cap_minor: int
    regions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, cap_minor: _Optional[int] = ..., regions: _Optional[_Iterable[str]] = ...) -> None: ...

class FixedPrice(_message.Message):
    __slots__ = ("price_minor", "max_units")
    PRICE_MINOR_FIELD_NUMBER: _ClassVar[int]
    MAX_UNITS_FIELD_NUMBER: _ClassVar[int]
    price_minor: int
    max_units: int
    def __init__(self, price_minor: _Optional[int] = ..., max_units: _Optional[int] = ...) -> None: ...

class BuyGet(_message.Message):
    __slots__ = ("buy_units", "get_units", "percent_off_basis_points", "max_repeats", "discounted")
    BUY_UNITS_FIELD_NUMBER: _ClassVar[int]
    GET_UNITS_FIELD_NUMBER: _ClassVar[int]
    PERCENT_OFF_BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    MAX_REPEATS_FIELD_NUMBER: _ClassVar[int]
    DISCOUNTED_FIELD_NUMBER: _ClassVar[int]
    buy_units: int
    get_units: int
    percent_off_basis_points: int
    max_repeats: int
    discounted: Scope
    def __init__(self, buy_units: _Optional[int] = ..., get_units: _Optional[int] = ..., percent_off_basis_points: _Optional[int] = ..., max_repeats: _Optional[int] = ..., discounted: _Optional[_Union[Scope, _Mapping]] = ...) -> None: ...

class CashVoucher(_message.Message):
    __slots__ = ("face_minor",)
    FACE_MINOR_FIELD_NUMBER: _ClassVar[int]
    face_minor: int
    def __init__(self, face_minor: _Optional[int] = ...) -> None: ...

class Scope(_message.Message):
    __slots__ = ("skus", "categories", "brands", "merchant_ids")
    SKUS_FIELD_NUMBER: _ClassVar[int]
    CATEGORIES_FIELD_NUMBER: _ClassVar[int]
    BRANDS_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_IDS_FIELD_NUMBER: _ClassVar[int]
    skus: _containers.RepeatedScalarFieldContainer[str]
    categories: _containers.RepeatedScalarFieldContainer[str]
    brands: _containers.RepeatedScalarFieldContainer[str]
    merchant_ids: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, skus: _Optional[_Iterable[str]] = ..., categories: _Optional[_Iterable[str]] = ..., brands: _Optional[_Iterable[str]] = ..., merchant_ids: _Optional[_Iterable[str]] = ...) -> None: ...

class Conditions(_message.Message):
    __slots__ = ("min_spend_minor", "min_quantity", "include", "exclude", "channels", "store_ids", "regions", "payment_methods", "tiers", "segments", "new_customer_only", "min_group_size", "windows")
    MIN_SPEND_MINOR_FIELD_NUMBER: _ClassVar[int]
    MIN_QUANTITY_FIELD_NUMBER: _ClassVar[int]
    INCLUDE_FIELD_NUMBER: _ClassVar[int]
    EXCLUDE_FIELD_NUMBER: _ClassVar[int]
    CHANNELS_FIELD_NUMBER: _ClassVar[int]
    STORE_IDS_FIELD_NUMBER: _ClassVar[int]
    REGIONS_FIELD_NUMBER: _ClassVar[int]
    PAYMENT_METHODS_FIELD_NUMBER: _ClassVar[int]
    TIERS_FIELD_NUMBER: _ClassVar[int]
    SEGMENTS_FIELD_NUMBER: _ClassVar[int]
    NEW_CUSTOMER_ONLY_FIELD_NUMBER: _ClassVar[int]
    MIN_GROUP_SIZE_FIELD_NUMBER: _ClassVar[int]
    WINDOWS_FIELD_NUMBER: _ClassVar[int]
    min_spend_minor: int
    min_quantity: int
    include: Scope
    exclude: Scope
    channels: _containers.RepeatedScalarFieldContainer[str]
    store_ids: _containers.RepeatedScalarFieldContainer[str]
    regions: _containers.RepeatedScalarFieldContainer[str]
    payment_methods: _containers.RepeatedScalarFieldContainer[str]
    tiers: _containers.RepeatedScalarFieldContainer[str]
    segments: _containers.RepeatedScalarFieldContainer[str]
    new_customer_only: bool
    min_group_size: int
    windows: _containers.RepeatedCompositeFieldContainer[Window]
    def __init__(self, min_spend_minor: _Optional[int] = ..., min_quantity: _Optional[int] = ..., include: _Optional[_Union[Scope, _Mapping]] = ..., exclude: _Optional[_Union[Scope, _Mapping]] = ..., channels: _Optional[_Iterable[str]] = ..., store_ids: _Optional[_Iterable[str]] = ..., regions: _Optional[_Iterable[str]] = ..., payment_methods: _Optional[_Iterable[str]] = ..., tiers: _Optional[_Iterable[str]] = ..., segments: _Optional[_Iterable[str]] = ..., new_customer_only: _Optional[bool] = ..., min_group_size: _Optional[int] = ..., windows: _Optional[_Iterable[_Union[Window, _Mapping]]] = ...) -> None: ...

class Window(_message.Message):
    __slots__ = ("weekdays", "start_minute", "end_minute")
    WEEKDAYS_FIELD_NUMBER: _ClassVar[int]
    START_MINUTE_FIELD_NUMBER: _ClassVar[int]
    END_MINUTE_FIELD_NUMBER: _ClassVar[int]
    weekdays: _containers.RepeatedScalarFieldContainer[Weekday]
    start_minute: int
    end_minute: int
    def __init__(self, weekdays: _Optional[_Iterable[_Union[Weekday, str]]] = ..., start_minute: _Optional[int] = ..., end_minute: _Optional[int] = ...) -> None: ...

class Limits(_message.Message):
    __slots__ = ("issued", "issued_per_day", "claims_per_customer", "claims_per_person", "redemptions", "redemptions_per_customer", "redemptions_per_customer_per_day", "redemptions_per_day", "slots", "budget_minor", "budget_per_day_minor")
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    ISSUED_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_PER_CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    CLAIMS_PER_PERSON_FIELD_NUMBER: _ClassVar[int]
    REDEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    REDEMPTIONS_PER_CUSTOMER_FIELD_NUMBER: _ClassVar[int]
    REDEMPTIONS_PER_CUSTOMER_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    REDEMPTIONS_PER_DAY_FIELD_NUMBER: _ClassVar[int]
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    BUDGET_MINOR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_PER_DAY_MINOR_FIELD_NUMBER: _ClassVar[int]
    issued: int
    issued_per_day: int
    claims_per_customer: int
    claims_per_person: int
    redemptions: int
    redemptions_per_customer: int
    redemptions_per_customer_per_day: int
    redemptions_per_day: int
    slots: SlotLimits
    budget_minor: int
    budget_per_day_minor: int
    def __init__(self, issued: _Optional[int] = ..., issued_per_day: _Optional[int] = ..., claims_per_customer: _Optional[int] = ..., claims_per_person: _Optional[int] = ..., redemptions: _Optional[int] = ..., redemptions_per_customer: _Optional[int] = ..., redemptions_per_customer_per_day: _Optional[int] = ..., redemptions_per_day: _Optional[int] = ..., slots: _Optional[_Union[SlotLimits, _Mapping]] = ..., budget_minor: _Optional[int] = ..., budget_per_day_minor: _Optional[int] = ...) -> None: ...

class SlotLimits(_message.Message):
    __slots__ = ("slots", "carry_over")
    SLOTS_FIELD_NUMBER: _ClassVar[int]
    CARRY_OVER_FIELD_NUMBER: _ClassVar[int]
    slots: _containers.RepeatedCompositeFieldContainer[Slot]
    carry_over: bool
    def __init__(self, slots: _Optional[_Iterable[_Union[Slot, _Mapping]]] = ..., carry_over: _Optional[bool] = ...) -> None: ...

class Slot(_message.Message):
    __slots__ = ("start_minute", "end_minute", "redemptions")
    START_MINUTE_FIELD_NUMBER: _ClassVar[int]
    END_MINUTE_FIELD_NUMBER: _ClassVar[int]
    REDEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    start_minute: int
    end_minute: int
    redemptions: int
    def __init__(self, start_minute: _Optional[int] = ..., end_minute: _Optional[int] = ..., redemptions: _Optional[int] = ...) -> None: ...

class Validity(_message.Message):
    __slots__ = ("absolute", "from_claim")
    ABSOLUTE_FIELD_NUMBER: _ClassVar[int]
    FROM_CLAIM_FIELD_NUMBER: _ClassVar[int]
    absolute: AbsoluteValidity
    from_claim: ClaimValidity
    def __init__(self, absolute: _Optional[_Union[AbsoluteValidity, _Mapping]] = ..., from_claim: _Optional[_Union[ClaimValidity, _Mapping]] = ...) -> None: ...

class AbsoluteValidity(_message.Message):
    __slots__ = ("not_before", "expire_time")
    NOT_BEFORE_FIELD_NUMBER: _ClassVar[int]
    EXPIRE_TIME_FIELD_NUMBER: _ClassVar[int]
    not_before: _timestamp_pb2.Timestamp
    expire_time: _timestamp_pb2.Timestamp
    def __init__(self, not_before: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., expire_time: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ...) -> None: ...

class ClaimValidity(_message.Message):
    __slots__ = ("wait", "days", "end_of_day")
    WAIT_FIELD_NUMBER: _ClassVar[int]
    DAYS_FIELD_NUMBER: _ClassVar[int]
    END_OF_DAY_FIELD_NUMBER: _ClassVar[int]
    wait: _duration_pb2.Duration
    days: int
    end_of_day: bool
    def __init__(self, wait: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., days: _Optional[int] = ..., end_of_day: _Optional[bool] = ...) -> None: ...

class Stacking(_message.Message):
    __slots__ = ("stage", "priority", "base", "exclusivity_groups", "exclusivity_reach", "stop_after", "max_tokens_per_order")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    BASE_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVITY_GROUPS_FIELD_NUMBER: _ClassVar[int]
    EXCLUSIVITY_REACH_FIELD_NUMBER: _ClassVar[int]
    STOP_AFTER_FIELD_NUMBER: _ClassVar[int]
    MAX_TOKENS_PER_ORDER_FIELD_NUMBER: _ClassVar[int]
    stage: Stage
    priority: int
    base: DiscountBase
    exclusivity_groups: _containers.RepeatedScalarFieldContainer[str]
    exclusivity_reach: ExclusivityReach
    stop_after: bool
    max_tokens_per_order: int
    def __init__(self, stage: _Optional[_Union[Stage, str]] = ..., priority: _Optional[int] = ..., base: _Optional[_Union[DiscountBase, str]] = ..., exclusivity_groups: _Optional[_Iterable[str]] = ..., exclusivity_reach: _Optional[_Union[ExclusivityReach, str]] = ..., stop_after: _Optional[bool] = ..., max_tokens_per_order: _Optional[int] = ...) -> None: ...

class Funding(_message.Message):
    __slots__ = ("merchant_basis_points",)
    MERCHANT_BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    merchant_basis_points: int
    def __init__(self, merchant_basis_points: _Optional[int] = ...) -> None: ...

class Sizing(_message.Message):
    __slots__ = ("expected_redemptions", "expected_redemption_rate_basis_points")
    EXPECTED_REDEMPTIONS_FIELD_NUMBER: _ClassVar[int]
    EXPECTED_REDEMPTION_RATE_BASIS_POINTS_FIELD_NUMBER: _ClassVar[int]
    expected_redemptions: int
    expected_redemption_rate_basis_points: int
    def __init__(self, expected_redemptions: _Optional[int] = ..., expected_redemption_rate_basis_points: _Optional[int] = ...) -> None: ...
