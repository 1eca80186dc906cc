"""A shop for docs/coupons.md: reads campaigns and orders from files, and judges coupons with the domain's own code.

The conversion is that of a real request: from the file to the contract's message, and from that to the domain's value.
"""

import datetime as dt
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.input.order_file import read_checkout
from redemption.client import sentence
from redemption.domain.campaign.calendar import Days
from redemption.domain.campaign.campaign import MILLISECONDS, Campaign
from redemption.domain.campaign.campaign_checks import campaign_violations
from redemption.domain.decision import Decision, Verdict
from redemption.domain.errors import InvalidRequest
from redemption.domain.judging.appraisal import Appraisal, Choice
from redemption.domain.judging.eligibility import Coupon
from redemption.domain.judging.limits import Finding
from redemption.domain.judging.stacking import CouponJudgement, EligibleCoupon, Screening, StackState, judge
from redemption.domain.judging.units import Units
from redemption.domain.order import Checkout
from redemption.domain.ports.orders import CampaignSnapshot
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.token import TokenDefect, TokenVerifier
from redemption.domain.steps import finished
from redemption.rpc.convert.campaigns import new_campaign_from
from redemption.rpc.convert.orders import checkout_from, write_decision
from redemption.service.signers import Signers
from redemption.v1.decision_pb2 import Decision as DecisionMessage

ROOT = Path(__file__).parent.parent
PROGRAMS = ROOT / "examples" / "programs" / "double11"
ORDERS = ROOT / "examples" / "orders" / "coupons"
ZONE = dt.timezone(dt.timedelta(hours=8))
EVENING = dt.datetime(2026, 11, 11, 20, 30, tzinfo=ZONE)
"""The time of all examples that do not set another."""

_PROGRAM = "double11"
_NOTHING_COUNTED = CampaignSnapshot(0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Applied:
    """One coupon as it was applied.

    Attributes:
        units: The order's units before it.
        stage_units: The order's units when its stage began; thresholds are compared with these.
    """

    eligible: EligibleCoupon
    judged: CouponJudgement
    units: Units
    stage_units: Units


class Shop:
    """Makes coupons of the example campaigns."""

    def __init__(self) -> None:
        self.files = sorted(path.name for path in PROGRAMS.glob("*.yaml"))
        now = int(EVENING.timestamp())
        # The keys are never printed; they are needed because only a verified token can be judged.
        keyset = Keyset.generate(environment="page", development=True, now=now, random=secrets.token_bytes)
        self._signers, self._verifier, self._now = Signers(keyset), TokenVerifier(keyset), now
        self._campaigns = {file: self._read(number, file) for number, file in enumerate(self.files, start=1)}

    def campaign(self, file: str) -> Campaign:
        """Return the campaign of a file."""
        return self._campaigns[file]

    def coupon(self, file: str, offer_index: int = 0) -> Coupon:
        """Return a coupon of a file's campaign, valid as long as the campaign runs."""
        campaign = self._campaigns[file]
        signer = self._signers.signer(program=_PROGRAM, campaign=campaign.number, key_id=self._signers.primary.id)
        text = signer.sign(
            offer_index=offer_index,
            serial=0,
            not_before=campaign.starts_at_ms // MILLISECONDS,
            expires_at=campaign.ends_at_ms // MILLISECONDS,
            now=self._now,
        )
        token = self._verifier.verify(text, program=_PROGRAM)
        assert not isinstance(token, TokenDefect), "it was signed just now"
        return Coupon(token, campaign, held_by_customer=True)

    def checkout(self, name: str) -> Checkout:
        """Return the checkout of an order's file."""
        message = read_checkout(ORDERS / f"{name}.yaml")
        message.tokens.append("any")  # not used: the coupons are given to ``judge``, but a checkout must have a token
        return checkout_from(message, _PROGRAM)

    def _read(self, number: int, file: str) -> Campaign:
        message = read_campaign(PROGRAMS / file).campaign
        message.program = _PROGRAM
        created = new_campaign_from(message)
        violations = campaign_violations(created)
        if violations:
            raise InvalidRequest(violations)
        return replace(created, number=number, version=1)


def applied(coupons: Sequence[Coupon], checkout: Checkout, at: dt.datetime = EVENING) -> list[Applied]:
    """Return the eligible coupons on an order, in the order in which they are applied."""
    screening = _screened(coupons, checkout, at)
    stack = StackState(screening.basket.units)
    done = []
    for eligible in screening.eligible():
        units, stage_units = stack.units, stack.stage_start(eligible).units
        stack, judged = stack.apply(eligible)
        done.append(Applied(eligible, judged, units, stage_units))
    return done


def judgements(coupons: Sequence[Coupon], checkout: Checkout, at: dt.datetime = EVENING) -> tuple[CouponJudgement, ...]:
    """Return the judgement of each coupon, in the order in which they are given."""
    return judge(coupons, checkout, now_ms=_milliseconds(at), days=Days()).coupons


def best(coupons: Sequence[Coupon], checkout: Checkout) -> tuple[tuple[Finding, ...], Choice]:
    """Return the finding for each coupon alone, and the best combination; no limit is reached."""
    counted = {coupon.campaign.number: _NOTHING_COUNTED for coupon in coupons}
    screening = _screened(coupons, checkout, EVENING)
    appraisal = Appraisal(screening, [None] * len(coupons), counted, guest=False, with_parts=True)
    alone = finished(appraisal.alone())
    return alone, finished(appraisal.best(alone))


def shopper_texts(judged: CouponJudgement, currency_code: str, at: dt.datetime = EVENING) -> tuple[str, str]:
    """Return the sentences for a shopper on a refusal, in English and in Chinese."""
    message = DecisionMessage()
    verdict = Verdict(judged.outcome, detail=judged.detail)
    write_decision(Decision(judged.outcome, (verdict,), int(at.timestamp())), message)
    (only,) = message.verdicts
    english = sentence(only, currency_code=currency_code, lang="en", now=message.decide_time, zone=ZONE)
    return english, sentence(only, currency_code=currency_code, lang="zh", now=message.decide_time, zone=ZONE)


def _screened(coupons: Sequence[Coupon], checkout: Checkout, at: dt.datetime) -> Screening:
    screening = Screening(checkout, now_ms=_milliseconds(at), days=Days())
    for coupon in coupons:
        screening.screen(coupon)
    return screening


def _milliseconds(at: dt.datetime) -> int:
    return int(at.timestamp()) * MILLISECONDS
