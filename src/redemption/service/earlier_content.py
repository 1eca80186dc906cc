"""The content of requests as earlier versions wrote it: in the order in which the caller named everything.

The ledger remembers such a request for up to 48 hours after a server was updated. So when the present form does not
match what is remembered, this form is compared as well.
"""

from redemption.domain.order import Checkout, Customer
from redemption.service.idempotency import canonical


def earlier_checkout_content(operation: str, checkout: Checkout) -> bytes:
    """Return the earlier form of an operation on a checkout."""
    order = checkout.order
    lines = [
        (
            line.line_id,
            line.quantity,
            line.amount_minor,
            line.list_amount_minor,
            line.sku,
            line.merchant_id,
            line.brand,
            line.categories,
        )
        for line in order.lines
    ]
    fees = [(fee.line_id, fee.amount_minor, fee.merchant_id, fee.region) for fee in order.shipping]
    bought = (order.order_id, order.currency_code, lines, fees, order.channel, order.store_id, order.payment_method)
    return canonical(operation, checkout.tokens, (*bought, order.group_size), _customer(checkout.customer))


def earlier_claim_content(what: tuple[object, ...], customer: Customer) -> bytes:
    """Return the earlier form of a claim; ``what`` is claimed."""
    return canonical("claim", what, _customer(customer))


def _customer(customer: Customer) -> tuple[object, ...]:
    return (customer.customer_id, customer.tier, customer.segments, customer.is_new, customer.person_id)
