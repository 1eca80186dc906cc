"""Splits an order's lines at the boundaries of their units, and joins what was judged again."""

from collections import defaultdict
from dataclasses import replace

from domain.judging.calculator import shares


def cut_at_random(order, rng):
    """Cut every line into pieces made of its units, in its place and in any order.

    Returns the order, and for each of its positions the position in the order before; fees stay as they are.
    """
    lines, origins = [], []
    for position, line in enumerate(order.lines):
        units = list(
            zip(
                shares(line.amount_minor, line.quantity),
                shares(line.list_amount_minor, line.quantity),
                strict=True,
            )
        )
        rng.shuffle(units)
        while units:
            size = rng.randint(1, len(units))
            piece, units = units[:size], units[size:]
            amount_minor, list_amount_minor = (sum(amounts) for amounts in zip(*piece, strict=True))
            lines.append(
                replace(
                    line,
                    line_id=f"{line.line_id}, piece {len(lines)}",
                    quantity=size,
                    amount_minor=amount_minor,
                    list_amount_minor=list_amount_minor,
                )
            )
            origins.append(position)
    fees = [len(order.lines) + index for index in range(len(order.shipping))]
    return replace(order, lines=tuple(lines)), origins + fees


def joined(judged, origins):
    """What the calculator's words say, with the parts of pieces summed by the line that they were cut from."""
    parts = defaultdict(int)
    for position, amount in judged.parts.items():
        parts[origins[position]] += amount
    return judged._replace(parts=dict(parts))
