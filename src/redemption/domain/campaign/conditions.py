"""Which goods, orders, customers and hours an offer is for."""

from dataclasses import dataclass
from functools import cached_property

from redemption.domain.order import Line


@dataclass(frozen=True)  # without slots, because a cached property needs a __dict__
class Scope:
    """Selects lines of an order by several kinds of values; a kind that is empty has no effect."""

    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    merchant_ids: tuple[str, ...] = ()

    @cached_property
    def _sets(self) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
        return frozenset(self.skus), frozenset(self.categories), frozenset(self.brands), frozenset(self.merchant_ids)

    @property
    def is_empty(self) -> bool:
        """Whether every kind is empty."""
        return not (self.skus or self.categories or self.brands or self.merchant_ids)

    def all_match(self, line: Line) -> bool:
        """Whether a line has one of the values of every kind that is not empty; used to include lines."""
        skus, categories, brands, merchant_ids = self._sets
        return (
            (not skus or line.sku in skus)
            and (not categories or not categories.isdisjoint(line.categories))
            and (not brands or line.brand in brands)
            and (not merchant_ids or line.merchant_id in merchant_ids)
        )

    def any_matches(self, line: Line) -> bool:
        """Whether a line has one of the values of any kind; used to exclude lines."""
        skus, categories, brands, merchant_ids = self._sets
        return (
            line.sku in skus
            or not categories.isdisjoint(line.categories)
            or line.brand in brands
            or line.merchant_id in merchant_ids
        )


ANYTHING = Scope()


@dataclass(frozen=True, slots=True)
class Window:
    """Hours of the day in the campaign's zone (限时).

    Attributes:
        start_minute: It starts at this minute of the day, 0 to 1439.
        end_minute: It ends before this minute of the day, 1 to 1440. If this is smaller than ``start_minute``, the
            window runs over midnight.
        weekdays: The days on which it begins, 1 (Monday) to 7; empty means every day.
    """

    start_minute: int
    end_minute: int
    weekdays: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When an offer applies; every condition that is set must hold.

    Attributes:
        min_spend_minor: The lines in scope cost at least this much.
        min_quantity: At least this many units are in scope.
        include: Only these lines count and are discounted.
        exclude: A line that matches is always out of scope.
        new_customer_only: Only for new customers; unknown counts as not new.
        min_group_size: Only for groups of at least this many members (拼团).
        windows: Only within one of these (限时).
    """

    min_spend_minor: int | None = None
    min_quantity: int | None = None
    include: Scope = ANYTHING
    exclude: Scope = ANYTHING
    channels: tuple[str, ...] = ()
    store_ids: tuple[str, ...] = ()
    regions: tuple[str, ...] = ()
    payment_methods: tuple[str, ...] = ()
    tiers: tuple[str, ...] = ()
    segments: tuple[str, ...] = ()
    new_customer_only: bool = False
    min_group_size: int | None = None
    windows: tuple[Window, ...] = ()


NO_CONDITIONS = Conditions()
