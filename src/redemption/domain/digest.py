"""Keyed digests: how people, devices, orders and requests appear where they must not appear themselves.

The keys come from the keyset's privacy root, which signs nothing and never leaves the server, so a stolen
ledger does not tell whose coupons it holds, not even to someone who tries all customer ids there are.
"""

from enum import Enum
from typing import Final

from redemption.domain.lru import Lru
from redemption.domain.pae import exact_bytes, pae, pae_alone
from redemption.domain.signing import Mac, Secret

PROGRAMS_CACHED: Final = 256


class DigestKind(Enum):
    """What is digested, and in how many bytes.

    A request has 80 bits, because two alike would give one request the answer of another. A code has as many as it has
    itself.
    """

    CUSTOMER = ("customer", 8)
    PERSON = ("person", 8)
    DEVICE = ("device", 8)
    NETWORK = ("network", 8)
    PAYMENT = ("payment", 8)
    ORDER = ("order", 6)
    REQUEST = ("request", 10)
    CONTENT = ("content", 8)
    CODE = ("code", 10)

    __hash__ = object.__hash__  # an enum's own hashes its name, in Python

    def __init__(self, label: str, length: int) -> None:
        self.label = label
        self.length = length


_REQUEST_LENGTH: Final = DigestKind.REQUEST.length
_CONTENT_LENGTH: Final = DigestKind.CONTENT.length
_ORDER_LENGTH: Final = DigestKind.ORDER.length
_CUSTOMER_LENGTH: Final = DigestKind.CUSTOMER.length


class ProgramDigests:
    """The digests of one program, one key per kind."""

    __slots__ = ("_content", "_customer", "_macs", "_order", "_request")

    def __init__(self, root: Secret, *, environment: str, program: str) -> None:
        place = (b"redemption/v1/digest", exact_bytes(environment), exact_bytes(program))
        self._macs = {kind: Mac(root.derive(*place, kind.label.encode())) for kind in DigestKind}
        self._request, self._content = self._macs[DigestKind.REQUEST], self._macs[DigestKind.CONTENT]
        self._order, self._customer = self._macs[DigestKind.ORDER], self._macs[DigestKind.CUSTOMER]

    def digest(self, kind: DigestKind, *parts: bytes) -> bytes:
        """The digest of ``parts``, ``kind.length`` bytes; ("ab", "c") is not ("a", "bc")."""
        return self._macs[kind].digest(pae(*parts))[: kind.length]

    def of_order(
        self, principal: str, request_id: str, content: bytes, order_id: str, customer_id: str
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        """The digests of a request, its content, its order and its customer (None for a guest).

        What ``digest`` gives for each, in one go, because every order needs all of them.
        """
        return (
            self._request.digest(pae(principal.encode(), request_id.encode()))[:_REQUEST_LENGTH],
            self._content.digest(pae_alone(content))[:_CONTENT_LENGTH],
            self._order.digest(pae_alone(order_id.encode()))[:_ORDER_LENGTH],
            self._customer.digest(pae_alone(customer_id.encode()))[:_CUSTOMER_LENGTH] if customer_id else None,
        )


class Digests:
    """Digests under a privacy root; keys of the programs used last stay derived."""

    def __init__(self, root: Secret, *, environment: str, programs_cached: int = PROGRAMS_CACHED) -> None:
        self._root = root
        self._environment = environment
        self._programs: Lru[str, ProgramDigests] = Lru(programs_cached)

    def for_program(self, program: str) -> ProgramDigests:
        """The digests of one program."""
        digests = self._programs.get(program)
        if digests is None:
            digests = ProgramDigests(self._root, environment=self._environment, program=program)
            self._programs.put(program, digests)
        return digests
