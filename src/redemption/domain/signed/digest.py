"""Keyed digests of people, devices, orders and requests, for places that must not hold their ids.

The keys come from the keyset's privacy root, which signs nothing and never leaves the server, so a stolen
ledger does not show whose coupons it holds, not even to someone who tries all customer ids.
"""

from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from redemption.domain.signed.pae import exact_bytes, pae, pae_opening, pae_part
from redemption.domain.signed.signing import Mac, Secret

if TYPE_CHECKING:
    from collections.abc import Callable

PROGRAMS_CACHED: Final = 256


class DigestKind(StrEnum):
    """What is digested."""

    CUSTOMER = "customer"
    PERSON = "person"
    DEVICE = "device"
    NETWORK = "network"
    PAYMENT = "payment"
    ORDER = "order"
    REQUEST = "request"
    CONTENT = "content"
    CODE = "code"

    @property
    def length(self) -> int:
        """The length of its digests, in bytes."""
        return _LENGTHS.get(self, 8)


_LENGTHS: Final = {DigestKind.ORDER: 6, DigestKind.REQUEST: 10, DigestKind.CODE: 10}
"""Lengths other than eight. A request's digest has 80 bits, because two equal ones would give one request the answer of
another. A code's digest is as long as the code."""
_ALONE: Final = pae_opening()
"""The encoding of what comes before the only part."""
_REQUEST_LENGTH: Final = DigestKind.REQUEST.length
_CONTENT_LENGTH: Final = DigestKind.CONTENT.length
_ORDER_LENGTH: Final = DigestKind.ORDER.length
_CUSTOMER_LENGTH: Final = DigestKind.CUSTOMER.length


class ProgramDigests:
    """The digests of one program, one key per kind."""

    __slots__ = ("_macs", "_of_order")

    def __init__(self, root: Secret, *, environment: str, program: str) -> None:
        place = (b"redemption/v1/digest", exact_bytes(environment), exact_bytes(program))
        self._macs = {kind: Mac(root.derive(*place, kind.encode())) for kind in DigestKind}
        kinds = (DigestKind.REQUEST, DigestKind.CONTENT, DigestKind.ORDER, DigestKind.CUSTOMER)
        self._of_order = tuple([self._macs[kind] for kind in kinds])

    def digest(self, kind: DigestKind, *parts: bytes) -> bytes:
        """Return the digest of ``parts``, ``kind.length`` bytes; ("ab", "c") and ("a", "bc") give different ones."""
        return self._macs[kind].digest(pae(*parts))[: kind.length]

    def of_order(
        self, principal: str, request_id: str, content: bytes, order_id: str, customer_id: str
    ) -> tuple[bytes, bytes, bytes, bytes | None]:
        """Return the digests of a request, its content, its order and its customer (None for a guest).

        They are those that ``digest`` gives, made together because every order needs all of them.
        """
        parts = (content, order_id.encode(), customer_id.encode())
        messages = [pae(principal.encode(), request_id.encode()), *[_ALONE + pae_part(part) for part in parts]]
        found = []
        for mac, message in zip(self._of_order, messages, strict=True):
            running = mac.begin()
            running.update(message)
            found.append(running.finalize())
        request, content_digest, order, customer = found
        return (
            request[:_REQUEST_LENGTH],
            content_digest[:_CONTENT_LENGTH],
            order[:_ORDER_LENGTH],
            customer[:_CUSTOMER_LENGTH] if customer_id else None,
        )


class Digests:
    """Digests with the keys of a privacy root; the derived keys of recently used programs are cached."""

    def __init__(self, root: Secret, *, environment: str, programs_cached: int = PROGRAMS_CACHED) -> None:
        self._root = root
        self._environment = environment
        self.for_program: Callable[[str], ProgramDigests] = lru_cache(maxsize=programs_cached)(self._derive)
        """Returns the digests of one program. It is the cache itself, which saves a function call."""

    def _derive(self, program: str) -> ProgramDigests:
        return ProgramDigests(self._root, environment=self._environment, program=program)
