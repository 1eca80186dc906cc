import datetime

from google.protobuf import timestamp_pb2 as _timestamp_pb2
from redemption.v1 import campaign_pb2 as _campaign_pb2
from redemption.v1 import outcome_pb2 as _outcome_pb2
from redemption.v1 import risk_service_pb2 as _risk_service_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class CreateCampaignRequest(_message.Message):
    __slots__ = ("request_id", "campaign", "validate_only")
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    request_id: str
    campaign: _campaign_pb2.Campaign
    validate_only: bool
    def __init__(self, request_id: _Optional[str] = ..., campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class CreateCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class GetCampaignRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class GetCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class ListCampaignsRequest(_message.Message):
    __slots__ = ("program", "page_size", "page_token")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    PAGE_SIZE_FIELD_NUMBER: _ClassVar[int]
    PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    program: str
    page_size: int
    page_token: str
    def __init__(self, program: _Optional[str] = ..., page_size: _Optional[int] = ..., page_token: _Optional[str] = ...) -> None: ...

class ListCampaignsResponse(_message.Message):
    __slots__ = ("campaigns", "next_page_token")
    CAMPAIGNS_FIELD_NUMBER: _ClassVar[int]
    NEXT_PAGE_TOKEN_FIELD_NUMBER: _ClassVar[int]
    campaigns: _containers.RepeatedCompositeFieldContainer[_campaign_pb2.Campaign]
    next_page_token: str
    def __init__(self, campaigns: _Optional[_Iterable[_Union[_campaign_pb2.Campaign, _Mapping]]] = ..., next_page_token: _Optional[str] = ...) -> None: ...

class UpdateCampaignRequest(_message.Message):
    __slots__ = ("campaign", "validate_only")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    VALIDATE_ONLY_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    validate_only: bool
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ..., validate_only: _Optional[bool] = ...) -> None: ...

class UpdateCampaignResponse(_message.Message):
    __slots__ = ("campaign", "warnings")
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    warnings: _containers.RepeatedCompositeFieldContainer[CampaignWarning]
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[CampaignWarning, _Mapping]]] = ...) -> None: ...

class CampaignWarning(_message.Message):
    __slots__ = ("field", "reason", "description")
    FIELD_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    DESCRIPTION_FIELD_NUMBER: _ClassVar[int]
    field: str
    reason: str
    description: str
    def __init__(self, field: _Optional[str] = ..., reason: _Optional[str] = ..., description: _Optional[str] = ...) -> None: ...

class PauseCampaignRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class PauseCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class ResumeCampaignRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ResumeCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class EndCampaignRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class EndCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class ArchiveCampaignRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class ArchiveCampaignResponse(_message.Message):
    __slots__ = ("campaign",)
    CAMPAIGN_FIELD_NUMBER: _ClassVar[int]
    campaign: _campaign_pb2.Campaign
    def __init__(self, campaign: _Optional[_Union[_campaign_pb2.Campaign, _Mapping]] = ...) -> None: ...

class GetCampaignStatsRequest(_message.Message):
    __slots__ = ("program", "number")
    PROGRAM_FIELD_NUMBER: _ClassVar[int]
    NUMBER_FIELD_NUMBER: _ClassVar[int]
    program: str
    number: int
    def __init__(self, program: _Optional[str] = ..., number: _Optional[int] = ...) -> None: ...

class GetCampaignStatsResponse(_message.Message):
    __slots__ = ("stats",)
    STATS_FIELD_NUMBER: _ClassVar[int]
    stats: CampaignStats
    def __init__(self, stats: _Optional[_Union[CampaignStats, _Mapping]] = ...) -> None: ...

class CampaignStats(_message.Message):
    __slots__ = ("issued", "claimed", "redeemed", "redeemed_today", "reserved", "reversed", "discount_minor", "merchant_minor", "order_value_minor", "budget_left_minor", "refusals", "offers", "as_of", "warnings", "reversed_minor")
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    CLAIMED_FIELD_NUMBER: _ClassVar[int]
    REDEEMED_FIELD_NUMBER: _ClassVar[int]
    REDEEMED_TODAY_FIELD_NUMBER: _ClassVar[int]
    RESERVED_FIELD_NUMBER: _ClassVar[int]
    REVERSED_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    MERCHANT_MINOR_FIELD_NUMBER: _ClassVar[int]
    ORDER_VALUE_MINOR_FIELD_NUMBER: _ClassVar[int]
    BUDGET_LEFT_MINOR_FIELD_NUMBER: _ClassVar[int]
    REFUSALS_FIELD_NUMBER: _ClassVar[int]
    OFFERS_FIELD_NUMBER: _ClassVar[int]
    AS_OF_FIELD_NUMBER: _ClassVar[int]
    WARNINGS_FIELD_NUMBER: _ClassVar[int]
    REVERSED_MINOR_FIELD_NUMBER: _ClassVar[int]
    issued: int
    claimed: int
    redeemed: int
    redeemed_today: int
    reserved: int
    reversed: int
    discount_minor: int
    merchant_minor: int
    order_value_minor: int
    budget_left_minor: int
    refusals: _containers.RepeatedCompositeFieldContainer[RefusalCount]
    offers: _containers.RepeatedCompositeFieldContainer[OfferStats]
    as_of: _timestamp_pb2.Timestamp
    warnings: _containers.RepeatedCompositeFieldContainer[_risk_service_pb2.RiskWarning]
    reversed_minor: int
    def __init__(self, issued: _Optional[int] = ..., claimed: _Optional[int] = ..., redeemed: _Optional[int] = ..., redeemed_today: _Optional[int] = ..., reserved: _Optional[int] = ..., reversed: _Optional[int] = ..., discount_minor: _Optional[int] = ..., merchant_minor: _Optional[int] = ..., order_value_minor: _Optional[int] = ..., budget_left_minor: _Optional[int] = ..., refusals: _Optional[_Iterable[_Union[RefusalCount, _Mapping]]] = ..., offers: _Optional[_Iterable[_Union[OfferStats, _Mapping]]] = ..., as_of: _Optional[_Union[datetime.datetime, _timestamp_pb2.Timestamp, _Mapping]] = ..., warnings: _Optional[_Iterable[_Union[_risk_service_pb2.RiskWarning, _Mapping]]] = ..., reversed_minor: _Optional[int] = ...) -> None: ...

class RefusalCount(_message.Message):
    __slots__ = ("outcome", "count")
    OUTCOME_FIELD_NUMBER: _ClassVar[int]
    COUNT_FIELD_NUMBER: _ClassVar[int]
    outcome: _outcome_pb2.Outcome
    count: int
    def __init__(self, outcome: _Optional[_Union[_outcome_pb2.Outcome, str]] = ..., count: _Optional[int] = ...) -> None: ...

class OfferStats(_message.Message):
    __slots__ = ("offer_index", "issued", "redeemed", "discount_minor")
    OFFER_INDEX_FIELD_NUMBER: _ClassVar[int]
    ISSUED_FIELD_NUMBER: _ClassVar[int]
    REDEEMED_FIELD_NUMBER: _ClassVar[int]
    DISCOUNT_MINOR_FIELD_NUMBER: _ClassVar[int]
    offer_index: int
    issued: int
    redeemed: int
    discount_minor: int
    def __init__(self, offer_index: _Optional[int] = ..., issued: _Optional[int] = ..., redeemed: _Optional[int] = ..., discount_minor: _Optional[int] = ...) -> None: ...
