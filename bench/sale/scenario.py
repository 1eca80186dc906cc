"""What a scenario file says: when buyers arrive, what they do, what is sold. The files are in ``bench/scenarios``."""

import hashlib
import math
import random
from array import array
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple, TypeAlias

from pydantic import BeforeValidator, ValidationError

from redemption.cli.campaign_file.part import Part, part_at, problems_of
from redemption.cli.campaign_file.values import single
from redemption.cli.exits import BAD_INPUT, Stop
from redemption.cli.input.source_file import FieldPath, Problem, plain, read_source, unknown_field
from redemption.cli.input.spans import span

FOLDER = Path(__file__).parent.parent / "scenarios"
RATE_MAX = 1_000_000.0
SECONDS_MAX = 24 * 3600.0
CAMPAIGNS_MAX = 1_000
_HUNDRED = 100


class Rate(NamedTuple):
    """Buyers a second, at the beginning and at the end of a phase; in between it changes evenly."""

    first: float
    last: float


def _number(text: str, what: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 <= found <= RATE_MAX:  # also what is no number
        raise ValueError(f"must be {what}; it is {text[:40]!r}")
    return found


def _rate(value: object) -> Rate:
    text = single(value)
    what = f"0 to {RATE_MAX:,.0f} a second, such as 40, or 40 to 600"
    first, _, last = text.partition(" to ")
    return Rate(_number(first, what), _number(last if " to " in text else first, what))


def _seconds(value: object) -> float:
    length = span(single(value))
    seconds = length.seconds + length.nanos / 1e9
    if seconds > SECONDS_MAX:
        raise ValueError("must be at most 1d")
    return seconds


def _share(value: object) -> float:
    text = single(value)
    if not text.endswith("%"):
        raise ValueError(f"must be a part such as 60%; it is {text[:40]!r}")
    return _number(text[:-1].strip(), "a part such as 60%") / _HUNDRED


def _whole(value: object) -> int:
    text = single(value)
    if not text.isascii() or not text.isdigit() or not 1 <= int(text) <= RATE_MAX:
        raise ValueError(f"must be a whole number from 1 to {RATE_MAX:,.0f}; it is {text[:40]!r}")
    return int(text)


def _factor(value: object) -> float:
    return _number(single(value), "a number such as 1.1")


BuyersPerSecond: TypeAlias = Annotated[Rate, BeforeValidator(_rate)]
Seconds: TypeAlias = Annotated[float, BeforeValidator(_seconds)]
Share: TypeAlias = Annotated[float, BeforeValidator(_share)]
Whole: TypeAlias = Annotated[int, BeforeValidator(_whole)]
Factor: TypeAlias = Annotated[float, BeforeValidator(_factor)]


class Phase(Part):
    """A part of the schedule."""

    name: str
    """How the report calls it."""
    lasts: Seconds
    """How long it lasts, such as 10s."""
    buyers_per_second: BuyersPerSecond
    """How many buyers arrive, at random moments: a number, or two, such as 40 to 600."""
    prebuilt_redeems_per_second: BuyersPerSecond = Rate(0.0, 0.0)
    """Redemptions of the hot campaign besides, with coupons that were minted before: a generator sends them that needs
    a hundredth of locust's CPU."""


class Think(Part):
    """How long buyers think between two calls: lognormal, as people's times are."""

    median: Seconds
    """Half of them think no longer."""
    spread: Factor = 0.8
    """The standard deviation of the logarithm; 0: all think equally long."""


class Habits(Part):
    """How many of the shoppers do what a checkout has to bear."""

    abandon: Share = 0.0
    """Claim or quote, and never redeem."""
    double_click: Share = 0.0
    """Send the same redeem twice at the same time."""
    lost_answer: Share = 0.0
    """Give up before the answer comes, and ask again with the same request id."""
    short_of_money: Share = 0.0
    """Try first with an order below the coupon's threshold."""


class Goods(Part):
    """What is sold: one hot campaign, and others that share the rest of the buyers by Zipf's law."""

    campaigns: Whole = 1
    """How many campaigns there are."""
    hot: Share = 1.0
    """This part of the buyers want the first campaign."""
    zipf: Factor = 1.1
    """The exponent: the campaign of rank r among the others gets a share of 1 / r^zipf."""
    stock: Share = 10.0
    """Coupons of each campaign, as a part of the buyers who are expected; less than 100% sells out."""


class ScenarioPart(Part):
    """A scenario."""

    description: str
    """What it shows, in one sentence."""
    seed: Whole = 1
    """The same seed gives the same arrivals and the same choices."""
    warm_up: Seconds = 0.0
    """Answers of the first seconds count for correctness, and for no percentile."""
    phases: tuple[Phase, ...]
    """The schedule of arrivals."""
    think: Think
    """How long buyers think."""
    habits: Habits = Habits()
    """What shoppers do to a checkout."""
    goods: Goods = Goods()
    """What is sold."""
    buyers: dict[str, Share]
    """Who arrives: kinds of buyers, and their parts."""


class Scenario(NamedTuple):
    """A scenario that was read."""

    name: str
    part: ScenarioPart

    @property
    def seconds(self) -> float:
        """How long buyers arrive."""
        return sum(phase.lasts for phase in self.part.phases)

    @property
    def buyers(self) -> "Rates":
        """How many buyers arrive."""
        return Rates([(phase.lasts, phase.buyers_per_second) for phase in self.part.phases], self.part.seed)

    @property
    def prebuilt(self) -> "Rates":
        """How many redemptions the prebuilt-frame generator sends."""
        return Rates([(phase.lasts, phase.prebuilt_redeems_per_second) for phase in self.part.phases], self.part.seed)

    def scaled(self, factor: float, *, prebuilt: float = 1.0) -> "Scenario":
        """Return the scenario with so many times the buyers, and so many times the prebuilt redemptions."""
        phases = tuple(
            phase.model_copy(
                update={
                    "buyers_per_second": Rate(*(rate * factor for rate in phase.buyers_per_second)),
                    "prebuilt_redeems_per_second": Rate(
                        *(rate * prebuilt for rate in phase.prebuilt_redeems_per_second)
                    ),
                }
            )
            for phase in self.part.phases
        )
        return Scenario(self.name, self.part.model_copy(update={"phases": phases}))

    @property
    def digest(self) -> str:
        """The same for two processes that play the same."""
        return hashlib.sha256(self.part.model_dump_json().encode()).hexdigest()


class Rates(NamedTuple):
    """How many arrive a second, over time.

    Attributes:
        steps: How long each step lasts, in seconds, and its rate.
        seed: Of the moments.
    """

    steps: Sequence[tuple[float, Rate]]
    seed: int

    def at(self, moment: float) -> float:
        """Return how many a second arrive at a moment, in seconds from the beginning."""
        for lasts, (first, last) in self.steps:
            if moment < lasts:
                return first + (last - first) * moment / lasts
            moment -= lasts
        return 0.0

    @property
    def highest(self) -> float:
        """The highest rate."""
        return max((max(rate) for _, rate in self.steps), default=0.0)

    @property
    def expected(self) -> float:
        """How many are expected to arrive."""
        return sum(lasts * sum(rate) / 2 for lasts, rate in self.steps)

    def arrivals(self, *, share: float = 1.0, seed: str) -> "array[float]":
        """Return the moments of arrival: a Poisson process with this rate.

        Args:
            share: The part of them that is wanted.
            seed: Makes these arrivals different from others of the same rates.
        """
        draw = random.Random(f"{self.seed} {seed}")  # noqa: S311 - a schedule, not a secret
        seconds, highest = sum(lasts for lasts, _ in self.steps), self.highest * share
        moments = array("d")
        moment = 0.0
        while highest > 0:  # thinning (Lewis and Shedler, 1979): too many, of which some are left out
            moment += draw.expovariate(highest)
            if moment >= seconds:
                break
            if draw.random() * highest < self.at(moment) * share:
                moments.append(moment)
        return moments


def read_scenario(name_or_file: str, kinds: Sequence[str]) -> Scenario:
    """Read a scenario: a file, or the name of one in ``bench/scenarios``.

    Args:
        name_or_file: Which.
        kinds: The kinds of buyers that there are.

    Raises:
        Stop: There is no such file, or it is wrong; each problem with its line.
    """
    file = Path(name_or_file)
    if not file.suffix:
        file = FOLDER / f"{name_or_file}.yaml"
        if not file.exists():
            known = ", ".join(sorted(each.stem for each in FOLDER.glob("*.yaml")))
            raise Stop(BAD_INPUT, f"there is no scenario {name_or_file!r}; there are {known}, or a file of your own")
    source = read_source(file)
    try:
        part = ScenarioPart.model_validate(plain(source.root))
    except ValidationError as error:
        raise source.unreadable(problems_of(error, _unknown)) from error
    scenario = Scenario(file.stem, part)
    problems = [*_problems(scenario, kinds)]
    if problems:
        raise source.stop(problems)
    return scenario


def _unknown(path: FieldPath) -> str:
    return unknown_field(str(path[-1]), part_at(ScenarioPart, path[:-1]).names())


def _problems(scenario: Scenario, kinds: Sequence[str]) -> Iterator[Problem]:
    """Yield what is wrong with a scenario whose values are right each by itself."""
    yield from _schedule_problems(scenario)
    part = scenario.part
    if sum(part.habits.model_dump().values()) > 1:
        yield Problem(("habits",), "must be at most 100% together")
    if part.goods.campaigns > CAMPAIGNS_MAX:
        yield Problem(("goods", "campaigns"), f"must be at most {CAMPAIGNS_MAX:,}")
    if not part.goods.stock:
        yield Problem(("goods", "stock"), "must be more than 0%")
    if part.goods.hot > 1:
        yield Problem(("goods", "hot"), "must be at most 100%")
    for kind in part.buyers:
        if kind not in kinds:
            yield Problem(("buyers", kind), unknown_field(kind, kinds))
    if not math.isclose(sum(part.buyers.values()), 1.0):
        yield Problem(("buyers",), f"must be 100% together; it is {sum(part.buyers.values()):.0%}")


def _schedule_problems(scenario: Scenario) -> Iterator[Problem]:
    part = scenario.part
    for index, phase in enumerate(part.phases):
        if not phase.lasts:
            yield Problem(("phases", index, "lasts"), "must be longer than 0s")
    if not part.phases:
        yield Problem(("phases",), "must have one phase at least")
    elif not scenario.buyers.highest:
        yield Problem(("phases",), "must have a phase in which buyers arrive")
    if part.warm_up >= scenario.seconds > 0:
        yield Problem(("warm_up",), f"must be shorter than all phases together, {scenario.seconds:g}s")
