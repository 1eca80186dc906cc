"""Orders for tests: what a test does not set is simple and valid."""

from redemption.domain.order import GUEST, Checkout, Line, Order


def line_of(amount_minor, quantity=1, *, line_id="1", list_amount_minor=None, **words):
    """A line that costs its list price, unless the test says otherwise."""
    listed = amount_minor if list_amount_minor is None else list_amount_minor
    return Line(line_id, quantity, amount_minor, listed, **words)


def lines_of(*amounts_minor):
    """Lines of one piece each; their ids count from 0."""
    return tuple(line_of(amount, line_id=str(index)) for index, amount in enumerate(amounts_minor))


def order_of(*amounts_minor, **changes):
    """An order of lines that cost so much each."""
    return Order(**{"order_id": "order", "currency_code": "CNY", "lines": lines_of(*amounts_minor)} | changes)


def checkout_of(order, customer=GUEST, *, program="shop", tokens=("token",)):
    """An order with the coupons that it brings."""
    return Checkout(program, tuple(tokens), order, customer)
