"""Prepares a program so that there is a command for every outcome.

Doing it again on the same day changes nothing: campaigns are found by their names, and the ids of coupons, orders and
requests contain the day (UTC, which is the zone of these campaigns). On the next day there are new coupons and orders,
so that limits per day are used up again.
"""

import datetime as dt
import time
from collections.abc import Sequence
from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.cli.server_calls import all_campaigns
from redemption.client import RedemptionClient, new_request_id
from redemption.v1 import campaign_pb2 as v1
from redemption.v1.campaign_service_pb2 import CreateCampaignRequest, PauseCampaignRequest
from redemption.v1.issuance_service_pb2 import MINT_FORM_CODE, MintedToken, MintRequest, RevokeRequest
from redemption.v1.order_pb2 import Checkout, Customer, Line, Order
from redemption.v1.outcome_pb2 import Outcome
from redemption.v1.redemption_service_pb2 import RedeemRequest
from redemption.v1.risk_service_pb2 import AddListEntriesRequest, GetRulesRequest, UpdateRulesRequest
from redemption.v1.rules_pb2 import LIST_KIND_DENY, SUBJECT_KIND_CUSTOMER, CouponSerial, RiskSubject

_DAY = 86_400
_MINUTES_PER_DAY = 1440
_COUPON_DAYS = 30
_SHORT_LIFE_SECONDS = 2
_ENOUGH_MINOR = 238_00
_RULE = "sample-velocity"
_PERCENT_OFF = v1.Offer(name="8折", percent_off=v1.PercentOff(basis_points=2000, cap_minor=100_00))


@dataclass(frozen=True, slots=True)
class Sample:
    """One command.

    Attributes:
        outcome: The outcome that it shows, of the order or of one of its coupons.
        why: The reason, for people.
        arguments: What to type after ``redemption``.
    """

    outcome: str
    why: str
    arguments: tuple[str, ...]


class SampleShop:
    """A shop on one program, with a campaign for each rule."""

    def __init__(self, client: RedemptionClient, program: str) -> None:
        self._client = client
        self._program = program
        self._campaigns = {campaign.name: campaign for campaign in all_campaigns(client, program)}
        now = int(time.time())
        self._now = now
        self._midnight = now - now % _DAY
        self._day = dt.datetime.fromtimestamp(now, tz=dt.UTC).date().isoformat()

    def samples(self) -> list[Sample]:
        """Make what is needed, and return the commands in the contract's order of precedence."""
        made = [self._short_lived()]
        for rules in (self._token_rules, self._campaign_rules, self._conditions, self._order_rules, self._limits):
            made += rules()
        made += [*self._abuse(), *self._codes()]
        while time.time() < self._now + _SHORT_LIFE_SECONDS:
            time.sleep(0.1)  # wait until the coupon has expired
        return sorted(made, key=_precedence)

    def _token_rules(self) -> list[Sample]:
        plain = self._campaign("sample 满200减50", _amount_off(200_00, 50_00))
        fresh, again, good = (self._coupon(plain, what) for what in ("approved", "used", "good"))
        mismatch = self._coupon(plain, "mismatch")
        bound = self._coupon(plain, "bound", customer="sample-alice")
        other = self._coupon(self._campaign("sample 8折", _PERCENT_OFF), "other")
        early = self._coupon(plain, "early", not_before=self._midnight + 2 * _DAY)
        forged = good[:-1] + ("A" if good[-1] != "A" else "B")
        self._redeem(again, "used")
        self._redeem(mismatch, "mismatch")
        revoked = self._coupon(plain, "revoked")
        self._client.revoke(RevokeRequest(program=self._program, request_id=self._id("revoke"), token=revoked))
        return [
            self._sample("APPROVED", "the same again, since it repeats its request id", fresh, "approved", repeat=True),
            self._sample("TOKEN_INVALID", "its last letter was changed", forged, "forged"),
            self._sample("NOT_EVALUATED", "the other coupon is not valid", good, "beside-forged", forged),
            self._sample("REVOKED", "the shop took it back", revoked, "revoked"),
            self._sample("ALREADY_REDEEMED", "another order used it", again, "another"),
            self._sample("TOKEN_NOT_YET_VALID", "it is valid from the day after tomorrow", early, "early"),
            self._sample("CUSTOMER_REQUIRED", "it is bound to a customer, and nobody is logged in", bound, "guest"),
            self._sample("HOLDER_MISMATCH", "it is bound to sample-alice", bound, "bob", customer="sample-bob"),
            self._sample("STACK_REJECTED", "the other coupon is used up", other, "stack", again),
            self._sample(
                "IDEMPOTENCY_MISMATCH", "its request id stands for another order", mismatch, "mismatch", repeat=True,
                order="other",
            ),
        ]  # fmt: skip

    def _campaign_rules(self) -> list[Sample]:
        offer = _amount_off(200_00, 50_00)
        later = self._campaign("sample not started", offer, starts_in_days=180)
        paused = self._campaign("sample paused", offer)
        over = self._campaign("sample ended", offer, ends_in_days=-1)
        self._client.pause_campaign(PauseCampaignRequest(program=self._program, number=paused.number))
        return [
            self._sample("CAMPAIGN_NOT_STARTED", "it starts in half a year", self._coupon(later, "later"), "later"),
            self._sample("CAMPAIGN_PAUSED", "its owner paused it", self._coupon(paused, "paused"), "paused"),
            self._sample("CAMPAIGN_ENDED", "it ended yesterday", self._coupon(over, "over"), "over"),
        ]

    def _conditions(self) -> list[Sample]:
        """Make a campaign for each condition. An order of which only the sum is given meets none of them."""
        device = [v1.RISK_SIGNAL_DEVICE]
        risky = self._campaign("sample risk context required", _amount_off(200_00, 50_00), signals=device)
        token = self._coupon(risky, "device")
        made = [self._sample("RISK_CONTEXT_REQUIRED", "the device is not told", token, "device"), self._closed_today()]
        for outcome, why, conditions in (
            ("TIER_REQUIRED", "it is for gold members", v1.Conditions(tiers=["gold"])),
            ("SEGMENT_REQUIRED", "it is for students", v1.Conditions(segments=["students"])),
            ("NEW_CUSTOMER_ONLY", "unknown counts as not new", v1.Conditions(new_customer_only=True)),
            ("CHANNEL_MISMATCH", "it is for the app, and no channel is told", v1.Conditions(channels=["app"])),
            ("STORE_MISMATCH", "it is for one store", v1.Conditions(store_ids=["store-1"])),
            ("REGION_MISMATCH", "nothing is shipped to Shanghai", v1.Conditions(regions=["CN-31"])),
            ("PAYMENT_METHOD_MISMATCH", "it is for one bank's card", v1.Conditions(payment_methods=["card-icbc"])),
            ("SCOPE_MISMATCH", "it is for shoes", v1.Conditions(include=v1.Scope(categories=["shoes"]))),
            ("MIN_QUANTITY_NOT_MET", "one unit of two", v1.Conditions(min_quantity=2)),
            ("GROUP_TOO_SMALL", "it is for groups of three", v1.Conditions(min_group_size=3)),
        ):
            made.append(self._condition(outcome, why, conditions, f"sample {_words(outcome)}"))
        return made

    def _closed_today(self) -> Sample:
        # Each weekday needs its own campaign: the one made on another day may be open today.
        weekday = (dt.date.fromisoformat(self._day) + dt.timedelta(days=2)).isoweekday()
        window = v1.Window(weekdays=[weekday], start_minute=0, end_minute=_MINUTES_PER_DAY)  # type: ignore[list-item]
        why = "it is good on the weekday after tomorrow"
        return self._condition("OUTSIDE_WINDOW", why, v1.Conditions(windows=[window]), f"sample weekday {weekday}")

    def _condition(self, outcome: str, why: str, conditions: v1.Conditions, name: str) -> Sample:
        offer = _amount_off(200_00, 50_00)
        offer.conditions.CopyFrom(conditions)
        what = outcome.lower()
        return self._sample(outcome, why, self._coupon(self._campaign(name, offer), what), what)

    def _order_rules(self) -> list[Sample]:
        plain = self._campaign("sample 满200减50", _amount_off(200_00, 50_00))
        percent = self._campaign("sample 8折", _PERCENT_OFF)
        one, two = self._coupon(plain, "one"), self._coupon(plain, "two")
        return [
            self._sample("CURRENCY_MISMATCH", "the coupon is for CNY", one, "dollars", currency="USD"),
            self._sample("MIN_SPEND_NOT_MET", "¥188.00 is less than ¥200.00", one, "little", spend="188.00"),
            self._sample("EXCLUSIVE_CONFLICT", "one of this campaign an order", one, "both", two, spend="500.00"),
            self._sample(
                "NO_EFFECT", "20% of ¥0.02 rounds to nothing", self._coupon(percent, "free"), "free", spend="0.02"
            ),
        ]

    def _limits(self) -> list[Sample]:
        made = []
        for outcome, why, limits in (
            ("CUSTOMER_LIMIT", "one for each customer, ever", v1.Limits(redemptions_per_customer=1)),
            ("CUSTOMER_DAY_LIMIT", "one for each customer, a day", v1.Limits(redemptions_per_customer_per_day=1)),
            ("DAY_LIMIT", "one a day for all", v1.Limits(redemptions_per_day=1)),
            ("SLOT_LIMIT", "one from midnight to midnight for all", v1.Limits(slots=_slots_of_one())),
            ("CAMPAIGN_LIMIT", "one altogether", v1.Limits(redemptions=1)),
            ("BUDGET_EXHAUSTED", "¥50.00 do not fit into the ¥30.00 that are left", v1.Limits(budget_minor=80_00)),
        ):
            what = outcome.lower()
            campaign = self._campaign(f"sample {_words(outcome)}", _amount_off(200_00, 50_00), limits=limits)
            first, second = self._coupon(campaign, f"{what}-1"), self._coupon(campaign, f"{what}-2")
            self._redeem(first, what, customer="sample-customer")
            made.append(self._sample(outcome, why, second, f"{what}-2", customer="sample-customer"))
        return made

    def _abuse(self) -> list[Sample]:
        plain = self._campaign("sample 满200减50", _amount_off(200_00, 50_00))
        hurried = self._campaign("sample velocity exceeded", _amount_off(200_00, 50_00))
        denied = self._minted(plain, "denied")
        subject = RiskSubject(coupon=CouponSerial(campaign=plain.number, serial=denied.serial))
        self._client.add_list_entries(
            AddListEntriesRequest(program=self._program, list=LIST_KIND_DENY, subjects=[subject], reason="a sample")
        )
        self._require_rule(hurried.number)
        first, second = self._coupon(hurried, "hurried-1"), self._coupon(hurried, "hurried-2")
        self._redeem(first, "hurried", customer="sample-customer")
        why = "a rule of the program lets each customer try once a day"
        return [
            self._sample("DENYLISTED", "the deny list of the program names it", denied.token, "denied"),
            self._sample("VELOCITY_EXCEEDED", why, second, "hurried-2", customer="sample-customer"),
        ]

    def _require_rule(self, campaign: int) -> None:
        """Let customers try once a day to use a coupon of a campaign; all other rules stay as they are."""
        rules = self._client.get_rules(GetRulesRequest(program=self._program)).rules
        if any(rule.name == _RULE for rule in rules.velocity):
            return
        rules.velocity.add(
            name=_RULE, subject=SUBJECT_KIND_CUSTOMER, campaign=campaign, limit=1, period=Duration(seconds=_DAY)
        )
        self._client.update_rules(UpdateRulesRequest(rules=rules))

    def _codes(self) -> list[Sample]:
        plain = self._campaign("sample 满200减50", _amount_off(200_00, 50_00))
        code = self._code(plain, "code")
        mistyped = ("A" if code[0] != "A" else "B") + code[1:]
        for_whom = ("--customer", "sample-customer")
        return [
            Sample("CODE_INVALID", "nobody got this code", ("claim", "--code", "0000-0000-0000-00000", *for_whom)),
            Sample("CODE_MISTYPED", "its first character was changed", ("claim", "--code", mistyped, *for_whom)),
        ]

    def _short_lived(self) -> Sample:
        """Mint a coupon that expires after two seconds; each run of the command mints a new one."""
        plain = self._campaign("sample 满200减50", _amount_off(200_00, 50_00))
        expires = self._now + _SHORT_LIFE_SECONDS
        token = self._coupon(plain, f"expired-{new_request_id()}", expires=expires)
        return self._sample("TOKEN_EXPIRED", "it was valid for two seconds", token, "expired")

    def _campaign(
        self,
        name: str,
        offer: v1.Offer,
        *,
        starts_in_days: int = -2,
        ends_in_days: int = 365,
        limits: v1.Limits | None = None,
        signals: Sequence[v1.RiskSignal] = (),
    ) -> v1.Campaign:
        """Return the campaign of that name, and create it if there is none."""
        if name not in self._campaigns:
            campaign = v1.Campaign(
                program=self._program,
                name=name,
                currency_code="CNY",
                time_zone="UTC",
                start_time=Timestamp(seconds=self._midnight + starts_in_days * _DAY),
                end_time=Timestamp(seconds=self._midnight + ends_in_days * _DAY),
                offers=[offer],
                limits=limits,
                required_risk_signals=signals,
                # A small number, so that the samples need little memory in the ledger.
                sizing=v1.Sizing(expected_redemptions=1000),
            )
            request = CreateCampaignRequest(request_id=new_request_id(), campaign=campaign)
            self._campaigns[name] = self._client.create_campaign(request).campaign
        return self._campaigns[name]

    def _coupon(
        self,
        campaign: v1.Campaign,
        what: str,
        *,
        customer: str = "",
        not_before: int | None = None,
        expires: int | None = None,
    ) -> str:
        """Return today's coupon for a purpose."""
        return self._minted(campaign, what, customer=customer, not_before=not_before, expires=expires).token

    def _minted(
        self,
        campaign: v1.Campaign,
        what: str,
        *,
        customer: str = "",
        not_before: int | None = None,
        expires: int | None = None,
    ) -> MintedToken:
        """Return today's coupon for a purpose, with its serial."""
        request = MintRequest(
            program=self._program,
            # Request ids are shared by all operations, so a mint must not use the id of a redeem.
            request_id=self._id(f"mint-{what}"),
            campaign=campaign.number,
            count=1,
            customer_id=customer,
            not_before=Timestamp(seconds=self._midnight - _DAY if not_before is None else not_before),
            expire_time=Timestamp(seconds=self._midnight + _COUPON_DAYS * _DAY if expires is None else expires),
        )
        return next(minted for part in self._client.mint(request) for minted in part.tokens)

    def _code(self, campaign: v1.Campaign, what: str) -> str:
        """Return today's exchange code for a purpose."""
        request = MintRequest(
            program=self._program,
            request_id=self._id(f"mint-{what}"),
            campaign=campaign.number,
            count=1,
            form=MINT_FORM_CODE,
        )
        return next(minted.code for part in self._client.mint(request) for minted in part.tokens)

    def _redeem(self, token: str, what: str, *, customer: str = "") -> None:
        """Use a coupon, so that it is used or a limit is reached. If it was refused, that was done before."""
        order = Order(
            order_id=self._id(what),
            currency_code="CNY",
            lines=[Line(line_id="1", quantity=1, amount_minor=_ENOUGH_MINOR)],
        )
        buyer = Customer(customer_id=customer) if customer else None
        checkout = Checkout(program=self._program, tokens=[token], order=order, customer=buyer)
        self._client.redeem(RedeemRequest(request_id=self._id(what), checkout=checkout))

    def _sample(
        self,
        outcome: str,
        why: str,
        token: str,
        what: str,
        *more: str,
        order: str | None = None,
        spend: str = "238.00",
        customer: str = "",
        currency: str = "",
        repeat: bool = False,
    ) -> Sample:
        arguments = ["redeem", token, *more, "--order", self._id(order or what), "--spend", spend]
        arguments += ["--customer", customer] if customer else []
        arguments += ["--currency", currency] if currency else []
        arguments += ["--request-id", self._id(what)] if repeat else []
        return Sample(outcome, why, tuple(arguments))

    def _id(self, what: str) -> str:
        return f"sample-{self._day}-{what}"


def _amount_off(spend_minor: int, amount_off_minor: int) -> v1.Offer:
    tier = v1.Tier(threshold=spend_minor, amount_off_minor=amount_off_minor)
    return v1.Offer(name="满减", tiers=v1.Tiers(measure=v1.MEASURE_SPEND, tiers=[tier]))


def _slots_of_one() -> v1.SlotLimits:
    return v1.SlotLimits(slots=[v1.Slot(start_minute=0, end_minute=_MINUTES_PER_DAY, redemptions=1)])


def _words(outcome: str) -> str:
    return outcome.replace("_", " ").lower()


def _precedence(sample: Sample) -> tuple[bool, int]:
    """Return the sort key: approvals first, then refusals in the order of the contract."""
    return sample.outcome != "APPROVED", Outcome.Value(f"OUTCOME_{sample.outcome}")
