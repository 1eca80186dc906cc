"""Redemption: may this order use these coupons, and for how much? Answered once, under flash-sale load.

The source has rooms, and imports go one way only:

- ``domain``: values and rules, pure. ``signed`` has tokens and keys, ``campaign`` definitions, ``judging`` what coupons
  do to an order, ``ports`` what the ledger has to offer.
- ``scheduling``: when long work runs. ``telemetry``: what the operator has to know.
- ``service``: the use cases; ``use_cases`` wires them.
- ``ledger``: all that knows Redis. ``commit`` carries orders there, ``trust`` says whether it may be believed,
  ``stores`` implement the ports, ``lua`` decides.
- ``rpc``: all that serves gRPC. ``convert`` knows protobuf, ``transport`` HTTP/2. It never meets ``ledger``.
- ``app`` builds a server, ``server`` keeps its processes, ``worker`` is one of them, ``settings`` reads the
  environment.
- ``client``: what a checkout imports. ``cli``: what people type. ``v1``: generated from ``protos/``.

``docs/architecture.md`` has the picture, and says in which file a question is answered.
"""

__version__ = "0.1.0"
