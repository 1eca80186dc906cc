"""The units of an order at one moment: how many there are of each kind, what each one still costs, and in which lines.

A line is shorthand for its units. *Goods* are lines that are alike in SKU, categories, brand and merchant. A *kind* is
all units of the same goods that have the same amount left and the same list price. Prices depend on kinds alone, so
they do not depend on how the goods are split into lines; and a quantity of a million costs no more work than one.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple, TypeAlias

from redemption.domain.order import Line, Order

Key: TypeAlias = tuple[int, int, int]
"""What the units of a kind have in common: goods, the amount left times -1, the list price times -1.

Sorting by it gives the sequence that decides between equal ones: the goods whose first line is earlier, then more left,
then the higher list price.
"""


Run: TypeAlias = tuple[int, int, int]
"""Units of one kind that are in the same line: the line's position, how many units, and what each of them had left when
the current stage began, minor units. Positions count the order's lines and then its shipping fees.

A plain tuple, because a large order has many thousands of them.
"""


class Chosen(NamedTuple):
    """Some units of an order.

    Attributes:
        kinds: Their kinds, by index, rising.
        counts: How many units of each of these kinds: the first ones, by line. None: all of them.
    """

    kinds: Sequence[int]
    counts: Sequence[int] | None = None


class Units:
    """The units of an order at one moment; nobody changes it.

    The attributes are parallel lists with one entry for each kind, sorted by ``Key``.

    Attributes:
        goods: The number of the goods, counted from 0 by first line. Each shipping fee is goods of its own, after them.
        totals: What the units have left together, minor units. A unit with nothing left counts for nothing.
        counts: How many units there are.
        is_whole: Kind number k is all of goods number k. Then ``goods`` is a range, and kinds with nothing left are
            kept; else they are dropped.
    """

    __slots__ = (
        "_list_totals",
        "_live",
        "_made_from",
        "_order",
        "_runs",
        "_runs_since",
        "counts",
        "goods",
        "is_whole",
        "totals",
    )

    def __init__(
        self,
        goods: Sequence[int],
        totals: Sequence[int],
        counts: Sequence[int],
        list_totals: Sequence[int] | None,
        order: Order,
    ) -> None:
        self.goods = goods
        self.is_whole = isinstance(goods, range)
        self.totals = totals
        self.counts = counts
        self._list_totals = list_totals
        self._order = order
        # None while all goods are in one line each: then the number of the goods is the position of the line.
        self._runs: Sequence[tuple[Run, ...]] | None = None
        self._made_from: tuple[Units, Chosen, Sequence[int]] | None = None
        # What ``runs_since`` returned, behind the units for which it did.
        self._runs_since: tuple[Units, Sequence[Sequence[Run]]] | None = None
        self._live: dict[tuple[int, ...], list[int]] | None = None  # the same goods are asked for again and again

    @property
    def list_totals(self) -> Sequence[int]:
        """What the units of each kind cost together at list price, minor units."""
        if self._list_totals is None:
            lines, fees = self._order.lines, self._order.shipping
            self._list_totals = [line.list_amount_minor for line in lines] + [fee.amount_minor for fee in fees]
        return self._list_totals

    def left(self, kind: int) -> int:
        """Return what each unit of a kind has left, minor units."""
        return self.totals[kind] // self.counts[kind]

    def list_price(self, kind: int) -> int:
        """Return the list price of each unit of a kind, minor units."""
        return self.list_totals[kind] // self.counts[kind]

    def live(self, goods: tuple[int, ...]) -> list[int]:
        """Return the kinds of some goods that have something left."""
        totals = self.totals
        if self.is_whole:
            return [kind for kind in goods if totals[kind]]
        if self._live is None:
            self._live = {}
        live = self._live.get(goods)
        if live is None:
            wanted = frozenset(goods)
            live = self._live[goods] = [kind for kind, number in enumerate(self.goods) if number in wanted]
        return live

    def cost(self, goods: tuple[int, ...]) -> int:
        """Return what some goods have left together, minor units."""
        totals = self.totals
        return sum([totals[kind] for kind in (goods if self.is_whole else self.live(goods))])

    def quantity(self, kinds: Sequence[int]) -> int:
        """Return how many units some kinds have together."""
        counts = self.counts
        return sum([counts[kind] for kind in kinds])

    def counts_of(self, chosen: Chosen) -> Sequence[int]:
        """Return how many units of each of their kinds were chosen."""
        counts = self.counts
        return [counts[kind] for kind in chosen.kinds] if chosen.counts is None else chosen.counts

    def positions(self, kinds: Sequence[int]) -> list[int]:
        """Return the lines and fees in which some kinds have units."""
        if self._runs is None:
            return sorted({self.goods[kind] for kind in kinds})
        return sorted({position for kind in kinds for position, _, _ in self._runs[kind]})

    def parts(self, chosen: Chosen, amounts: Sequence[int]) -> tuple[tuple[int, int], ...]:
        """Return what each line or fee bears of a discount: pairs of position and amount, none of them 0.

        Args:
            chosen: The units that bear it. Inside a kind they bear it as evenly as minor units allow.
            amounts: What the units of each of these kinds bear together, minor units.
        """
        kinds = chosen.kinds
        if self.is_whole:
            if len(kinds) == 1:
                return ((kinds[0], amounts[0]),) if amounts[0] else ()
            return tuple([pair for pair in zip(kinds, amounts, strict=True) if pair[1]])
        parts: dict[int, int] = {}
        if self._runs is None:
            goods = self.goods
            for kind, amount in zip(kinds, amounts, strict=True):
                if amount:
                    parts[goods[kind]] = parts.get(goods[kind], 0) + amount
            return tuple(parts.items())
        for kind, count, amount in zip(kinds, self.counts_of(chosen), amounts, strict=True):
            for off, (position, quantity, _) in _divided(self._runs[kind], count, amount):
                if off:
                    parts[position] = parts.get(position, 0) + off * quantity
        return tuple(sorted(parts.items()))

    def after(self, chosen: Chosen, amounts: Sequence[int]) -> "Units":
        """Return the units after a discount.

        Args:
            chosen: The units that bear it.
            amounts: What the units of each of these kinds bear together, minor units.
        """
        if self._runs is not None:
            return _of_runs(self.split_runs(self._runs, chosen, amounts), self._order)
        totals = self._totals_after(chosen, amounts) if self.is_whole else None
        if totals is None:
            found = self._after_by_counts(chosen, amounts)
        else:
            found = Units(self.goods, totals, self.counts, self._list_totals, self._order)
        found._made_from = self, chosen, amounts
        return found

    def at_stage_start(self) -> "Units":
        """Return the same units, for which a stage begins now."""
        if self._runs is None:
            return self
        runs = [
            _joined([(position, quantity, self.left(kind)) for position, quantity, _ in of_kind])
            for kind, of_kind in enumerate(self._runs)
        ]
        return self.with_runs(runs)

    def with_runs(self, runs: Sequence[tuple[Run, ...]]) -> "Units":
        """Return the same units in these lines."""
        found = Units(self.goods, self.totals, self.counts, self._list_totals, self._order)
        found._runs = runs
        return found

    def left_at_stage_start(self, kind: int, count: int, start: "Units") -> int:
        """Return what some units of a kind had left together when the stage began, minor units.

        The units of a kind are interchangeable. Those that had more left are counted first.

        Args:
            kind: The kind.
            count: How many of its units.
            start: The units when the stage began, as ``at_stage_start`` returned them.
        """
        if self is start:
            return self.left(kind) * count
        total = 0
        for _, quantity, before_minor in sorted(self.runs_since(start)[kind], key=lambda run: -run[2]):
            taken = min(quantity, count)
            total += taken * before_minor
            count -= taken
        return total

    def _totals_after(self, chosen: Chosen, amounts: Sequence[int]) -> list[int] | None:
        """Return what the kinds have left after a discount, or None if units of one kind then differ."""
        totals, counts = list(self.totals), self.counts
        if chosen.counts is not None and list(chosen.counts) != [counts[kind] for kind in chosen.kinds]:
            return None
        for kind, amount in zip(chosen.kinds, amounts, strict=True):
            if counts[kind] > 1 and amount % counts[kind]:
                return None
            totals[kind] -= amount
        return totals

    def _after_by_counts(self, chosen: Chosen, amounts: Sequence[int]) -> "Units":
        borne = dict(zip(chosen.kinds, zip(self.counts_of(chosen), amounts, strict=True), strict=True))
        # Each entry is a Key and a count. They are nearly sorted as they are found, which makes sorting cheap.
        found: list[tuple[int, int, int, int]] = []
        for kind, (goods, total, count, list_total) in enumerate(
            zip(self.goods, self.totals, self.counts, self.list_totals, strict=True)
        ):
            if count == 1:
                left, list_price = total, list_total
            else:
                left, list_price = total // count, list_total // count
            if kind not in borne:
                found.append((goods, -left, -list_price, count))
                continue
            bearing, amount = borne[kind]
            if bearing == 1:
                off, more = amount, 0
            else:
                off, more = divmod(amount, bearing)
            if count > bearing:
                found.append((goods, -left, -list_price, count - bearing))
            if bearing > more:
                found.append((goods, off - left, -list_price, bearing - more))
            if more:
                found.append((goods, off + 1 - left, -list_price, more))
        found.sort()
        return _of_sorted(found, self._order)

    def split_runs(self, runs: Sequence[Sequence[Run]], chosen: Chosen, amounts: Sequence[int]) -> dict[Key, list[Run]]:
        """Return the lines of the units after a discount; ``runs`` are the lines of each kind now."""
        borne = dict(zip(chosen.kinds, zip(self.counts_of(chosen), amounts, strict=True), strict=True))
        found: dict[Key, list[Run]] = {}
        for kind, of_kind in enumerate(runs):
            number, left, list_price = self._key(kind)
            if kind not in borne:
                found.setdefault((number, left, list_price), []).extend(of_kind)
                continue
            count, amount = borne[kind]
            for off, run in _divided(of_kind, count, amount):
                found.setdefault((number, left + off, list_price), []).append(run)
        return found

    def runs_since(self, start: "Units") -> Sequence[Sequence[Run]]:
        """Return the lines of the units of each kind, and what these had left when the stage began.

        Without goods in several lines that is worked out only when it is asked for, which is rare.
        """
        if self._runs is not None:
            return self._runs
        kinds = range(len(self.totals))
        if self is start or self._made_from is None:
            return [((self.goods[kind], self.counts[kind], self.left(kind)),) for kind in kinds]
        if self._runs_since is not None and self._runs_since[0] is start:
            return self._runs_since[1]
        earlier, chosen, amounts = self._made_from
        found = earlier.split_runs(earlier.runs_since(start), chosen, amounts)
        self._runs_since = start, [_joined(found.get(self._key(kind), ())) for kind in kinds]
        return self._runs_since[1]

    def _key(self, kind: int) -> Key:
        return self.goods[kind], -self.left(kind), -self.list_price(kind)


def units_of(order: Order) -> tuple[Units, Sequence[Line], tuple[int, ...]]:
    """Return the units of an order before any coupon, the first line of each goods, and which goods cost something."""
    lines, fees = order.lines, order.shipping
    totals: list[int] = []
    counts: list[int] = []
    for line in lines:
        totals.append(line.amount_minor)
        counts.append(line.quantity)
    for fee in fees:
        totals.append(fee.amount_minor)
        counts.append(1)
    if len(lines) > 1 and len({line.sku for line in lines}) < len(lines):
        units, first_lines = _of_alike_lines(order)
        return units, first_lines, _paid(units, len(first_lines))
    if counts.count(1) < len(counts) and not all(_is_even(line) for line in lines):
        units = _of_uneven_lines(order)
        return units, lines, _paid(units, len(lines))
    units = Units(range(len(totals)), totals, counts, None, order)
    if 0 in totals:
        return units, lines, tuple([number for number in range(len(lines)) if totals[number]])
    return units, lines, tuple(range(len(lines)))


def _paid(units: Units, count: int) -> tuple[int, ...]:
    found = frozenset(units.goods)  # units that cost nothing are left out there
    return tuple([number for number in range(count) if number in found])


def _is_even(line: Line) -> bool:
    quantity = line.quantity
    return quantity == 1 or not (line.amount_minor % quantity or line.list_amount_minor % quantity)


def _of_uneven_lines(order: Order) -> Units:
    """Return the units of an order whose lines are all of different goods."""
    found = []
    for position, line in enumerate(order.lines):
        found += [(position, -left, -list_price, count) for left, list_price, count in _units_of_line(line)]
    for position, fee in enumerate(order.shipping, start=len(order.lines)):
        found.append((position, -fee.amount_minor, -fee.amount_minor, 1))
    return _of_sorted(found, order)


def _of_alike_lines(order: Order) -> tuple[Units, Sequence[Line]]:
    """Return the units of an order in which several lines may be of the same goods."""
    numbers: dict[tuple[str, frozenset[str], str, str], int] = {}
    first_lines: list[Line] = []
    found: dict[Key, list[Run]] = {}
    for position, line in enumerate(order.lines):
        goods = (line.sku, frozenset(line.categories), line.brand, line.merchant_id)
        number = numbers.setdefault(goods, len(numbers))
        if number == len(first_lines):
            first_lines.append(line)
        for left, list_price, count in _units_of_line(line):
            found.setdefault((number, -left, -list_price), []).append((position, count, left))
    for index, fee in enumerate(order.shipping):
        run = (len(order.lines) + index, 1, fee.amount_minor)
        found[len(first_lines) + index, -fee.amount_minor, -fee.amount_minor] = [run]
    return _of_runs(found, order), first_lines


def _units_of_line(line: Line) -> list[tuple[int, int, int]]:
    """Return amount, list price and count of the units of a line, the dearest first.

    They share its amount as evenly as minor units allow, and its list amount likewise; the dearer units by amount are
    also the dearer ones by list price.
    """
    quantity = line.quantity
    left, dear = divmod(line.amount_minor, quantity)
    list_price, list_dear = divmod(line.list_amount_minor, quantity)
    first, second = min(dear, list_dear), max(dear, list_dear)
    middle = (left + 1, list_price) if dear > list_dear else (left, list_price + 1)
    units = ((left + 1, list_price + 1, first), (*middle, second - first), (left, list_price, quantity - second))
    return [each for each in units if each[2]]


def _of_sorted(found: list[tuple[int, int, int, int]], order: Order) -> Units:
    """Return the units of these kinds, each of which is in one line; an entry is a ``Key`` and a count."""
    goods: list[int] = []
    totals: list[int] = []
    counts: list[int] = []
    list_totals: list[int] = []
    last_goods, last_left, last_list = -1, 0, 0
    for number, left, list_price, count in found:
        if not left:
            continue
        if left == last_left and list_price == last_list and number == last_goods:
            totals[-1] -= left * count
            list_totals[-1] -= list_price * count
            counts[-1] += count
            continue
        last_goods, last_left, last_list = number, left, list_price
        goods.append(number)
        totals.append(-left * count)
        counts.append(count)
        list_totals.append(-list_price * count)
    return Units(goods, totals, counts, list_totals, order)


def _of_runs(found: dict[Key, list[Run]], order: Order) -> Units:
    """Return the units of these kinds, which may each be in several lines."""
    runs = {key: _joined(found[key]) for key in sorted(found) if key[1]}
    units = _of_sorted([(*key, sum([quantity for _, quantity, _ in of_kind])) for key, of_kind in runs.items()], order)
    return units.with_runs(list(runs.values()))


def _joined(runs: Sequence[Run]) -> tuple[Run, ...]:
    """Return runs by line, with one run for the units of a line that had the same amount left before."""
    if len(runs) == 1:
        return (runs[0],)
    counts: dict[tuple[int, int], int] = {}
    for position, quantity, before_minor in runs:
        place = position, -before_minor
        counts[place] = counts.get(place, 0) + quantity
    return tuple([(position, counts[position, before], -before) for position, before in sorted(counts)])


def _divided(runs: Sequence[Run], bearing: int, amount: int) -> Iterator[tuple[int, Run]]:
    """Divide an amount among the first units of a kind, and yield what is taken off each unit of a run.

    The first units bear one minor unit more than the others; those that do not bear it come last, with 0.
    """
    off, more = divmod(amount, bearing)
    evenly = bearing - more
    for position, quantity, before_minor in runs:
        rest = quantity
        if more and rest:
            some = min(rest, more)
            yield off + 1, (position, some, before_minor)
            more -= some
            rest -= some
        if evenly and rest:
            some = min(rest, evenly)
            yield off, (position, some, before_minor)
            evenly -= some
            rest -= some
        if rest:
            yield 0, (position, rest, before_minor)
