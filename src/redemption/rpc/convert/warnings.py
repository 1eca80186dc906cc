"""Early warnings, from the domain to protobuf."""

from typing import Final

from redemption.domain.outcome import Outcome
from redemption.domain.risk.warnings import RiskWarning
from redemption.rpc.convert.orders import OUTCOMES
from redemption.rpc.convert.timestamps import at_ms
from redemption.v1 import outcome_pb2, risk_service_pb2

_SECOND_MS: Final = 1000


def risk_warning_of(warning: RiskWarning) -> risk_service_pb2.RiskWarning:
    """Return a warning as the contract has it; an outcome that only a later version knows is not named."""
    outcome = outcome_pb2.OUTCOME_UNSPECIFIED
    if warning.outcome in OUTCOMES:
        outcome = OUTCOMES[Outcome(warning.outcome)]
    return risk_service_pb2.RiskWarning(
        campaign=warning.campaign,
        reason=warning.reason.name,
        outcome=outcome,
        description=warning.description,
        raise_time=at_ms(warning.raised_at * _SECOND_MS),
        gone_time=None if warning.gone_at is None else at_ms(warning.gone_at * _SECOND_MS),
    )
