"""The buyers, as classes of locust users: who arrives, and what each of them does.

A refusal that a buyer has to expect, such as a sold-out campaign, is a success under a name of its own ("Redeem
CAMPAIGN_LIMIT"). An answer that it need not expect is a failure.
"""

import secrets
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, ClassVar

import gevent
from locust import User, constant, task
from locust.exception import StopUser

from redemption.client import (
    BatchRedeemRequest,
    BatchRedeemResponse,
    Checkout,
    ClaimOffer,
    ClaimRequest,
    ClaimResponse,
    Customer,
    Line,
    Order,
    QuoteRequest,
    QuoteResponse,
    RedeemRequest,
    RedeemResponse,
    RiskContext,
)
from sale.answers import APPROVED, NONE_LEFT, SOLD_OUT, name_of, of_decision
from sale.goods import SPEND_MINOR, SPEND_TOO_LITTLE_MINOR, OnSale
from sale.journal import UNKNOWN, Entry
from sale.shift import Shift

TRIES_MAX = 20
"""How often a buyer asks again when there was no answer."""
AGAIN_SECONDS = 0.25
LEAVE_SECONDS_MAX = 15.0
"""Time for the last visits when the last buyer has come."""
GIVE_UP_SECONDS = 0.002
"""The patience of those whose answer is lost."""
USED_UP = "coupons were used up before the last buyer came"
GREEDY = 0.5
"""This part of those who claim in a rush claims again."""
CLICKS_AGAIN = 0.2
"""This part of them all sends the same request again."""
BATCH = 16
"""Orders in a batch."""
LINE_ID = "1"


def _redeemed(answer: RedeemResponse) -> Sequence[dict[str, Any]]:
    return [of_decision(answer.decision)]


def _batch(answer: BatchRedeemResponse) -> Sequence[dict[str, Any]]:
    return [
        {"answer": UNKNOWN} if each.WhichOneof("result") == "error" else of_decision(each.decision)
        for each in answer.results
    ]


def _asked(request: RedeemRequest, campaign: int) -> dict[str, Any]:
    """Return what the journal keeps of an order with one coupon, before it is answered."""
    checkout = request.checkout
    return {
        "request_id": request.request_id,
        "campaign": campaign,
        "customer": checkout.customer.customer_id,
        "token": checkout.tokens[0],
    }


def _quoted(answer: QuoteResponse) -> Sequence[dict[str, Any]]:
    return [{"answer": name_of(answer.together.outcome)}]


def _claimed(answer: ClaimResponse) -> Sequence[dict[str, Any]]:
    return [{"answer": name_of(answer.outcome), "token": answer.token}]


class Buyer(User):
    """A kind of buyers. Locust runs one user in each process, whatever its kind: it opens the door to buyers of all."""

    abstract = True
    wait_time = constant(0)
    kind: ClassVar[str]
    """As scenario files call it."""
    shift: ClassVar[Shift]
    """What this process plays; set when a run begins."""

    @task
    def open_door(self) -> None:
        """Let the next buyer in; end when all have come and gone."""
        kind = self.shift.await_buyer()
        if not kind:
            self.shift.visits.join(timeout=LEAVE_SECONDS_MAX)
            raise StopUser
        self.shift.begin(KINDS[kind](self.environment).visit)

    def visit(self) -> None:
        """Live the visit of one buyer."""
        raise NotImplementedError

    def ask(
        self,
        method: str,
        call: Callable[..., Any],
        request: Any,  # noqa: ANN401 - of any method
        read: Callable[..., Sequence[dict[str, Any]]],
        asked: Sequence[dict[str, Any]],
        **more: Any,  # noqa: ANN401 - as Shift.ask has them
    ) -> tuple[Any, list[Entry]]:
        """Make one call, note its answers, and tell locust of them; see ``Shift.ask``."""
        answer, entries = self.shift.ask(method, call, request, read, asked, sender=self.kind, **more)
        answers = ", ".join(sorted({entry.answer for entry in entries}))
        self.environment.events.request.fire(
            request_type="grpc",
            name=f"{method} {answers}",
            response_time=entries[0].seconds * 1000,
            response_length=0,
            exception=None
            if all(entry.expected for entry in entries)
            else _Unexpected(f"{method} was answered {answers}"),
            context={},
        )
        return answer, entries

    def redeem(self, request: RedeemRequest, campaign: int, *, expected: Sequence[str]) -> str:
        """Redeem; without an answer ask again with the same request id, as a checkout should. Returns the answer."""
        call, asked = self.shift.client.redeem, [_asked(request, campaign)]
        for _ in range(TRIES_MAX):
            _, (entry,) = self.ask("Redeem", call, request, _redeemed, asked, expected=expected)
            if entry.answer != UNKNOWN:
                return entry.answer
            gevent.sleep(AGAIN_SECONDS)
        return UNKNOWN

    def lose(self, request: RedeemRequest, campaign: int) -> None:
        """Redeem, and leave before the answer comes: the call goes on, and what it says is not heard."""
        self.shift.begin_unheard(self.shift.client.redeem, request)
        entry = Entry(
            "Redeem",
            sent_at=time.time(),
            seconds=GIVE_UP_SECONDS,
            answer=UNKNOWN,
            counted=False,
            sender=self.kind,
            **_asked(request, campaign),
        )
        self.shift.journal.note(entry)
        gevent.sleep(GIVE_UP_SECONDS)

    def checkout(self, token: str, customer: str, amount_minor: int = SPEND_MINOR) -> Checkout:
        """Return the order of a customer with one coupon."""
        line = Line(line_id=LINE_ID, sku="shoe-42", quantity=1, amount_minor=amount_minor)
        order = Order(order_id=f"order-{self.shift.name()}", currency_code="CNY", lines=[line])
        return Checkout(
            program=self.shift.plan.program, tokens=[token], order=order, customer=Customer(customer_id=customer)
        )

    def claim_request(self, customer: str, wanted: OnSale) -> ClaimRequest:
        """Return a customer's wish for a coupon."""
        return ClaimRequest(
            program=self.shift.plan.program,
            request_id=f"claim-{self.shift.name()}",
            offer=ClaimOffer(campaign=wanted.number),
            customer=Customer(customer_id=customer),
        )

    def claim(self, request: ClaimRequest, *, expected: Sequence[str]) -> Entry:
        """Claim a coupon; returns the last answer, whose token is empty when there is none."""
        customer = request.customer.customer_id
        asked = [{"request_id": request.request_id, "customer": customer, "campaign": request.offer.campaign}]
        for _ in range(TRIES_MAX):
            _, (entry,) = self.ask("Claim", self.shift.client.claim, request, _claimed, asked, expected=expected)
            if entry.answer != UNKNOWN:
                break
            gevent.sleep(AGAIN_SECONDS)
        return entry


class _Unexpected(Exception):
    """An answer that a buyer need not expect; locust counts it as a failure."""


class Shopper(Buyer):
    """Claims a coupon, looks at the price, and redeems; some do what people do: click twice, give up, come back."""

    kind = "shopper"

    def visit(self) -> None:
        """Claim, quote, redeem."""
        shift, habits = self.shift, self.shift.scenario.part.habits
        customer = f"customer-{shift.name()}"
        if shift.brought is None:
            campaign = (wanted := shift.wishes.next()).number
            token = self.claim(self.claim_request(customer, wanted), expected=(APPROVED, *NONE_LEFT)).token
        else:
            campaign = 0
            token = shift.brought.pop() if shift.brought else ""
            if not token:
                shift.broken = USED_UP
        if not token:
            return
        shift.think()
        quote = QuoteRequest(checkout=self.checkout(token, customer))
        asked = [{"request_id": "", "campaign": campaign, "customer": customer}]
        self.ask("Quote", shift.client.quote, quote, _quoted, asked, expected=(APPROVED, *SOLD_OUT))
        shift.think()
        chance = shift.draw.random()
        if chance < habits.abandon:
            return
        request = RedeemRequest(request_id=f"redeem-{shift.name()}", checkout=quote.checkout)
        chance -= habits.abandon
        if chance < habits.short_of_money:
            short = RedeemRequest(
                request_id=f"short-{shift.name()}", checkout=self.checkout(token, customer, SPEND_TOO_LITTLE_MINOR)
            )
            self.redeem(short, campaign, expected=("MIN_SPEND_NOT_MET",))
            shift.think()
        chance -= habits.short_of_money
        expected = (APPROVED, *SOLD_OUT)
        if 0 <= chance < habits.double_click:
            click = partial(self.redeem, request, campaign, expected=expected)
            gevent.joinall([shift.begin(click) for _ in range(2)])
            return
        chance -= habits.double_click
        if 0 <= chance < habits.lost_answer:
            self.lose(request, campaign)
        self.redeem(request, campaign, expected=expected)


class Claimer(Buyer):
    """Claims one coupon in a rush; every second one claims again, and may have only one.

    Some of those click a second time: the same request gets the same coupon.
    """

    kind = "claimer"

    def visit(self) -> None:
        """Claim, and perhaps claim again."""
        wanted, customer = self.shift.wishes.next(), f"customer-{self.shift.name()}"
        first = self.claim_request(customer, wanted)
        got = self.claim(first, expected=(APPROVED, *NONE_LEFT)).answer
        chance = self.shift.draw.random()
        if chance >= GREEDY:
            return
        self.shift.think()
        if got == APPROVED and chance < CLICKS_AGAIN:
            self.claim(first, expected=(APPROVED,))
            return
        expected = {APPROVED: ("CLAIM_LIMIT", *NONE_LEFT), UNKNOWN: (APPROVED, "CLAIM_LIMIT", *NONE_LEFT)}
        self.claim(self.claim_request(customer, wanted), expected=expected.get(got, (APPROVED, *NONE_LEFT)))


class Till(Buyer):
    """Sends orders in batches, with coupons that were printed."""

    kind = "till"

    def visit(self) -> None:
        """Redeem a batch; without an answer the same again."""
        shift, minted = self.shift, self.shift.minted[self.kind]
        tokens = [minted.pop() for _ in range(min(BATCH, len(minted)))]
        if not tokens:
            shift.broken = USED_UP
            return
        requests = [
            RedeemRequest(request_id=f"batch-{name}", checkout=self.checkout(token, f"customer-{name}"))
            for name, token in ((shift.name(), token) for token in tokens)
        ]
        batch = BatchRedeemRequest(program=shift.plan.program, requests=requests)
        campaign = shift.plan.printed

        asked, expected = [_asked(request, campaign) for request in requests], (APPROVED, *SOLD_OUT)
        for _ in range(TRIES_MAX):
            _, entries = self.ask("BatchRedeem", shift.client.batch_redeem, batch, _batch, asked, expected=expected)
            if all(entry.answer != UNKNOWN for entry in entries):
                return
            gevent.sleep(AGAIN_SECONDS)


class Replayer(Buyer):
    """Sends a used coupon again: as somebody else's, which is refused, and as the same request, which is answered."""

    kind = "replayer"

    def visit(self) -> None:
        """Use a coupon again and again."""
        shift = self.shift
        minted = shift.minted[self.kind]
        if not minted:
            shift.broken = USED_UP
            return
        token, customer = minted.pop(), f"customer-{shift.name()}"
        campaign = shift.plan.printed
        first = RedeemRequest(request_id=f"replay-{shift.name()}", checkout=self.checkout(token, customer))
        if self.redeem(first, campaign, expected=(APPROVED, *SOLD_OUT)) != APPROVED:
            return
        shift.think()
        thief = f"customer-{shift.name()}"
        again = RedeemRequest(request_id=f"replay-{shift.name()}", checkout=self.checkout(token, thief))
        self.redeem(again, campaign, expected=("ALREADY_REDEEMED",))
        self.redeem(first, campaign, expected=(APPROVED,))


class Guesser(Buyer):
    """Guesses tokens and exchange codes, each on a few devices."""

    kind = "guesser"

    def visit(self) -> None:
        """Guess a token and a code."""
        shift = self.shift
        who = f"guesser-{shift.draw.randrange(20)}"
        expected = ("TOKEN_INVALID", "CODE_INVALID", "VELOCITY_EXCEEDED")
        checkout = self.checkout("AQ" + secrets.token_urlsafe(60)[:62], who)
        checkout.risk.CopyFrom(RiskContext(device_id=who))
        request = RedeemRequest(request_id=f"guess-{shift.name()}", checkout=checkout)
        self.ask("Redeem", shift.client.redeem, request, _redeemed, [_asked(request, 0)], expected=expected)
        shift.think()
        code = "".join(secrets.choice("0123456789ABCDEFGHJKMNPQRSTVWXYZ") for _ in range(16))
        claim = ClaimRequest(program=shift.plan.program, request_id=f"guess-{shift.name()}", code=code)
        claim.customer.customer_id, claim.risk.device_id = who, who
        asked = [{"request_id": claim.request_id, "customer": who}]
        self.ask("Claim", shift.client.claim, claim, _claimed, asked, expected=expected)


KINDS: dict[str, type[Buyer]] = {each.kind: each for each in (Shopper, Claimer, Till, Replayer, Guesser)}
"""The kinds of buyers, as scenario files call them."""
