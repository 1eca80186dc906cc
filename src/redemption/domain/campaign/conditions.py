"""Which goods an offer speaks of, and which orders, customers and hours it is for."""

from dataclasses import dataclass
from functools import cached_property

from redemption.domain.order import Line


@dataclass(frozen=True)  # without slots: the sets are made once, when first asked for
class Scope:
    """Some lines of an order, told by kinds of values; a kind that is empty says nothing."""

    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    brands: tuple[str, ...] = ()
    merchant_ids: tuple[str, ...] = ()

    @cached_property
    def _sets(self) -> tuple[frozenset[str], frozenset[str], frozenset[str], frozenset[str]]:
        return frozenset(self.skus), frozenset(self.categories), frozenset(self.brands), frozenset(self.merchant_ids)

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return not (self.skus or self.categories or self.brands or self.merchant_ids)

    def all_match(self, line: Line) -> bool:
        """Whether a line has one of the values of every kind given; that is how lines are included."""
        skus, categories, brands, merchant_ids = self._sets
        return (
            (not skus or line.sku in skus)
            and (not categories or not categories.isdisjoint(line.categories))
            and (not brands or line.brand in brands)
            and (not merchant_ids or line.merchant_id in merchant_ids)
        )

    def any_matches(self, line: Line) -> bool:
        """Whether a line has one of the values of any kind; that is how lines are excluded."""
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
        start_minute: From this minute of the day on, 0 to 1439.
        end_minute: Until before this one, 1 to 1440; smaller than ``start_minute`` runs over midnight.
        weekdays: On which days it begins, 1 (Monday) to 7; empty means every day.
    """

    start_minute: int
    end_minute: int
    weekdays: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Conditions:
    """When an offer applies; all that is given must hold.

    Attributes:
        min_spend_minor: The lines in scope cost at least so much.
        min_quantity: There are at least so many units in scope.
        include: Only these lines count and are discounted.
        exclude: Any line that matches is out, always.
        new_customer_only: Unknown counts as not new.
        min_group_size: For groups of at least so many (拼团).
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
