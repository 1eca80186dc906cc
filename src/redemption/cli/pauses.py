"""Pauses parts of a running campaign, and takes that back: merchants, articles and offers."""

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TypeVar

import grpc

from redemption.cli.campaign_file.text import quoted
from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.server_calls import campaign_called
from redemption.client import CallFailed, FieldViolation, RedemptionClient
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import UpdateCampaignRequest

_ROUNDS_MAX = 5
_OPTIONS = {"paused_merchant_ids": "--merchant", "paused_skus": "--sku", "paused_offers": "--offer"}
_PAUSED = re.compile(rf"campaign\.(?P<field>{'|'.join(_OPTIONS)})(?:\[(?P<index>\d+)\])?")
_Part = TypeVar("_Part")


@dataclass(frozen=True, slots=True)
class Parts:
    """Parts of a campaign; offers are their indexes."""

    merchant_ids: tuple[str, ...]
    skus: tuple[str, ...]
    offers: tuple[int, ...]

    def pause(self, campaign: Campaign) -> None:
        """Pause them in a definition; what is paused already stays so.

        Raises:
            Stop: An id is surely mistyped.
        """
        self._require_ids(Campaign())
        campaign.paused_merchant_ids[:] = _with(campaign.paused_merchant_ids, self.merchant_ids)
        campaign.paused_skus[:] = _with(campaign.paused_skus, self.skus)
        campaign.paused_offers[:] = _with(campaign.paused_offers, self.offers)

    def resume(self, campaign: Campaign) -> None:
        """Take their pause back in a definition.

        Raises:
            Stop: An id is surely mistyped, and not paused.
        """
        self._require_ids(campaign)
        campaign.paused_merchant_ids[:] = _without(campaign.paused_merchant_ids, self.merchant_ids)
        campaign.paused_skus[:] = _without(campaign.paused_skus, self.skus)
        campaign.paused_offers[:] = _without(campaign.paused_offers, self.offers)

    def _require_ids(self, known: Campaign) -> None:
        for option, ids, paused in (
            ("--merchant", self.merchant_ids, known.paused_merchant_ids),
            ("--sku", self.skus, known.paused_skus),
        ):
            for each in ids:
                problem = None if each in paused else _slip(each)
                if problem:
                    raise Stop(BAD_INPUT, f"{option} {quoted(each)}: {problem}")


def change_parts(
    client: RedemptionClient, program: str, name_or_number: str, change: Callable[[Campaign], None]
) -> Campaign:
    """Change a campaign's definition, and return the campaign as it is now.

    Somebody else may change it at the same time: then it is read again.

    Raises:
        Stop: There is no such campaign, a part of it cannot be paused, or it changes all the time.
    """
    for _ in range(_ROUNDS_MAX):
        campaign = campaign_called(client, program, name_or_number)
        wanted = Campaign()
        wanted.CopyFrom(campaign)
        change(wanted)
        if wanted == campaign:
            return campaign
        try:
            return client.update_campaign(UpdateCampaignRequest(campaign=wanted)).campaign
        except CallFailed as error:
            if error.code is grpc.StatusCode.ABORTED:
                continue
            if not any(_PAUSED.match(violation.field) for violation in error.violations):
                raise
            stop = Stop(BAD_INPUT, *(_as_typed(violation, wanted) for violation in error.violations))
            stop.failure = error.failure
            raise stop from error
    raise Stop(BAD_INPUT, f"campaign {name_or_number} is being changed by others all the time; try again")


def _slip(typed: str) -> str | None:
    """Return what is surely wrong with an id, or None."""
    if "," in typed:
        return "has a comma: give the option once for each; an id with a comma can be paused in the campaign file"
    return None if typed == typed.strip() else f"has a blank at an end; write {typed.strip()!r}"


def _as_typed(violation: FieldViolation, wanted: Campaign) -> str:
    """Return a violation with the option and the value in place of the field and its index, which nobody typed."""
    found = _PAUSED.fullmatch(violation.field)
    if found is None:
        return f"{violation.field}: {violation.problem}"
    values = getattr(wanted, found["field"])
    value = f" {quoted(str(values[int(found['index'])]))}" if found["index"] else ""
    return f"{_OPTIONS[found['field']]}{value}: {violation.problem}"


def _with(paused: Collection[_Part], more: Collection[_Part]) -> list[_Part]:
    return list(dict.fromkeys((*paused, *more)))


def _without(paused: Collection[_Part], fewer: Collection[_Part]) -> list[_Part]:
    return [each for each in paused if each not in fewer]
