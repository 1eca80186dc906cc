"""Names what a request does not say and a rule or a campaign needs, as the person who typed it would add it."""

from collections.abc import Mapping
from types import MappingProxyType

from redemption.client import Lang
from redemption.v1 import rules_pb2 as v1
from redemption.v1.decision_pb2 import Detail

FIELDS: Mapping[int, str] = MappingProxyType(
    {
        v1.SUBJECT_KIND_CUSTOMER: "customer.customer_id",
        v1.SUBJECT_KIND_PERSON: "customer.person_id",
        v1.SUBJECT_KIND_DEVICE: "risk.device_id",
        v1.SUBJECT_KIND_NETWORK: "risk.network_address",
        v1.SUBJECT_KIND_PAYMENT: "risk.payment_fingerprint",
    }
)
"""The fields of a checkout."""
OPTIONS: Mapping[int, str] = MappingProxyType(
    {
        v1.SUBJECT_KIND_CUSTOMER: "--customer",
        v1.SUBJECT_KIND_PERSON: "--person",
        v1.SUBJECT_KIND_DEVICE: "--device",
        v1.SUBJECT_KIND_NETWORK: "--network",
        v1.SUBJECT_KIND_PAYMENT: "--payment",
    }
)
"""The options of ``redemption claim``."""
_MISSING = {"en": "missing: {}", "zh": "缺少：{}"}  # noqa: RUF001 - a Chinese colon


def missing_text(detail: Detail, lang: Lang, names: Mapping[int, str] = FIELDS) -> str:
    """Return what is missing; empty if nothing is.

    Args:
        detail: Of a verdict.
        lang: English or Chinese.
        names: How each kind of subject is named; one that a newer server names is told by its number.
    """
    missing = [names.get(kind, f"signal {kind}") for kind in detail.missing_signals]
    return _MISSING[lang].format(", ".join(missing)) if missing else ""
