"""Redemption: may this order use these coupons, and for how much? Answered once, under flash-sale load.

The house has few rooms, and imports go one way only. ``domain`` is the pure heart: tokens, receipts, keys,
campaigns, pricing. ``service`` holds the use cases. ``ledger`` is the only room that knows Redis, ``rpc`` the only
one that serves gRPC; they never meet. ``app`` builds and wires everything, ``cli`` is what people type, ``client``
is what a checkout imports, and ``v1`` is generated from ``protos/``. See ``docs/architecture.md`` for the picture.
"""

__version__ = "0.1.0"
