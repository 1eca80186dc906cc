"""The token, a shopper's signed coupon: :class:`CampaignSigner` makes it, only :class:`TokenVerifier` accepts it.

``docs/token.md`` is the specification. A token is 48 bytes, written as 64 characters. It is checked in this order:
text, version, length, flags, key, tag, and only then the fields. Outsiders get the same answer for every defect.
"""

import hmac
import re
import struct
from collections import OrderedDict
from dataclasses import InitVar, dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final, final

from redemption.domain.record import record
from redemption.domain.signed.base64url import ARMORED_LENGTH, armor, unarmor
from redemption.domain.signed.keyset import DAY_SECONDS, Key, Keyset
from redemption.domain.signed.pae import exact_bytes, pae, pae_prefix
from redemption.domain.signed.signing import (
    SERIAL_MAX,
    TAG_LENGTH,
    TEXT_LENGTH_MAX,
    U16_MAX,
    U32_MAX,
    Mac,
    Secret,
    SigningError,
    require_range,
    require_text,
)

VERSION: Final = 1
FLAG_HOLDER_BOUND: Final = 1
FLAG_SHARED: Final = 2
BODY_LENGTH: Final = 32
HOLDER_TAG_LENGTH: Final = 6
CACHE_SIZE: Final = 4_096
TOKEN_LIFE_DAYS_MAX: Final = 401
TOKEN_LIFE_SECONDS_MAX: Final = TOKEN_LIFE_DAYS_MAX * DAY_SECONDS
"""One day more than a campaign may promise: when clocks are set back, 400 days last one hour longer."""

_FLAGS: Final = FLAG_HOLDER_BOUND | FLAG_SHARED
_UNBOUND: Final = bytes(HOLDER_TAG_LENGTH)
_SERIAL_HIGH_SHIFT: Final = 32
# version, flags, key id, campaign, offer, not before, expires at, cell, serial (8 + 32 bits), holder tag
_BODY: Final = struct.Struct(">BBIIHIIBBI6s")
_U32: Final = struct.Struct(">I")
# Long enough for any later version, short enough that a very long text is refused at once.
_ANY_VERSION: Final = re.compile(r"[A-Za-z0-9_-]{2,512}")


class TokenDefect(StrEnum):
    """Why a text is not a token, in the order of the checks: for metrics only, outsiders get the same answer."""

    MALFORMED = "malformed"
    """Not 2 to 512 base64url characters."""
    VERSION = "version"
    """A version this release does not know."""
    LENGTH = "length"
    """Not the length of its version."""
    FLAGS = "flags"
    """A reserved flag is set."""
    KEY_UNKNOWN = "key_unknown"
    """No such key, or it was destroyed."""
    TAG = "tag"
    """Not signed by its key for this environment, program and campaign, or changed since."""
    VALIDITY = "validity"
    """Correctly signed, but expires before it begins."""
    HOLDER_TAG = "holder_tag"
    """Correctly signed, but has a holder tag without being bound."""
    CELL = "cell"
    """Correctly signed, but for a cell that version 1 does not have."""

    @property
    def signed(self) -> bool:
        """Whether the tag is correct: somebody who has the key signed what no server of ours signs."""
        return self in _SIGNED_DEFECTS


_SIGNED_DEFECTS: Final = frozenset({TokenDefect.VALIDITY, TokenDefect.HOLDER_TAG, TokenDefect.CELL})


_PROOF: Final = object()
"""Only this file has this object."""


@final
@record(frozen=True, slots=True)
class VerifiedToken:
    """A token with a correct tag. Only :meth:`TokenVerifier.verify` makes one, so an instance is the proof.

    It must not be changed: as with every record, the type checker ensures that, not the running program.
    The caller has to check whether it is valid *now* (``not_before <= now < expires_at``, Unix seconds).
    ``key_usable`` is False for a disabled key: the token then serves only repetitions of approved requests. So does a
    token with ``outlives_key``: it expires later than its key's ``max_expires_at``, and no server of ours signs that.
    """

    proof: InitVar[object]
    program: str
    key_id: int
    key_usable: bool
    campaign: int
    offer_index: int
    not_before: int
    expires_at: int
    serial: int
    holder_bound: bool
    shared: bool
    holder_tag: bytes
    outlives_key: bool

    def __post_init__(self, proof: object) -> None:
        if proof is not _PROOF:
            raise TypeError("only TokenVerifier.verify makes a VerifiedToken")


@dataclass(frozen=True, slots=True)
class SignedIds:
    """The ids in a token with a correct tag, for the log: a token that is signed and refused even so."""

    key_id: int
    campaign: int
    serial: int


@dataclass(frozen=True, slots=True)
class _TokenKey:
    """The token MAC of one campaign under one signing key; ``known`` is False for the decoy.

    ``max_expires_at`` is the key's, Unix seconds.
    """

    mac: Mac
    known: bool
    usable: bool
    max_expires_at: int


class TokenVerifier:
    """Checks tokens against a keyset. It never raises, whatever the text.

    A derived key is cached only after a correct tag, so that forgeries cannot fill the cache. An unknown key id
    costs the same as a known one: its tag is checked too, under a decoy.
    """

    def __init__(self, keyset: Keyset, *, cache_size: int = CACHE_SIZE) -> None:
        self._environment = exact_bytes(keyset.environment)
        self._keys = {_U32.pack(key.id): key for key in keyset.keys if key.material is not None}
        self._decoy = keyset.privacy_root.derive(b"redemption/v1/decoy")
        self._cache_size = cache_size
        self._token_keys: OrderedDict[tuple[str, bytes], _TokenKey] = OrderedDict()
        self._holder_mac = lru_cache(maxsize=cache_size)(self._derive_holder_mac)

    def verify(self, text: str, *, program: str) -> VerifiedToken | TokenDefect:
        """Check everything of a token except its validity in time."""
        raw = unarmor(text)
        if raw is None:
            return _why_unreadable(text)
        if raw[0] != VERSION:
            return TokenDefect.VERSION
        if raw[1] & ~_FLAGS:
            return TokenDefect.FLAGS
        place = (program, raw[2:10])
        cached = self._token_keys.get(place)
        key = cached or self._token_key(*place)
        genuine = hmac.compare_digest(key.mac.digest(raw[:BODY_LENGTH])[:TAG_LENGTH], raw[BODY_LENGTH:])
        if not key.known:
            return TokenDefect.KEY_UNKNOWN
        if not genuine:
            return TokenDefect.TAG
        if cached is not None:
            self._token_keys.move_to_end(place)
        else:
            self._token_keys[place] = key
            if len(self._token_keys) > self._cache_size:
                self._token_keys.popitem(last=False)
        return _parse(raw, program, key)

    def holder_matches(self, token: VerifiedToken, customer_id: str) -> bool:
        """Whether a bound token belongs to this customer, in constant time; False for an unbound token."""
        customer = exact_bytes(customer_id)
        if not token.holder_bound or not 1 <= len(customer) <= TEXT_LENGTH_MAX:
            return False
        mac = self._holder_mac(token.program, token.key_id, token.campaign)
        return hmac.compare_digest(_holder_tag(mac, customer), token.holder_tag)

    def key_expires_at(self, token: VerifiedToken) -> int:
        """Return when the life of a token's key ends, Unix seconds: nobody may honour the token any longer."""
        return self._keys[_U32.pack(token.key_id)].max_expires_at

    def _token_key(self, program: str, ids: bytes) -> _TokenKey:
        key = self._keys.get(ids[:4])
        return _TokenKey(
            mac=_token_mac(self._material(ids), self._environment, exact_bytes(program), ids),
            known=key is not None,
            usable=key is not None and key.state.usable,
            max_expires_at=0 if key is None else key.max_expires_at,
        )

    def _derive_holder_mac(self, program: str, key_id: int, campaign: int) -> Mac:
        ids = _U32.pack(key_id) + _U32.pack(campaign)
        return _holder_mac(self._material(ids), self._environment, exact_bytes(program), ids)

    def _material(self, ids: bytes) -> Secret:
        key = self._keys.get(ids[:4])
        return key.material if key and key.material else self._decoy


class CampaignSigner:
    """Signs the tokens of one campaign with one key.

    Raises:
        SigningError: The program is not 1 to 128 bytes, the campaign number not 32 bits, or the key is destroyed.
    """

    def __init__(self, key: Key, *, environment: bytes, program: str, campaign: int) -> None:
        exact_program = require_text("program", program)
        require_range("campaign", campaign, U32_MAX)
        if key.material is None:
            raise SigningError(f"key {key.id} is destroyed and signs nothing; promote another")
        ids = _U32.pack(key.id) + _U32.pack(campaign)
        self._key = key
        self._campaign = campaign
        self._token_mac = _token_mac(key.material, environment, exact_program, ids)
        self._holder_mac = _holder_mac(key.material, environment, exact_program, ids)

    def sign(
        self,
        *,
        offer_index: int,
        serial: int,
        not_before: int,
        expires_at: int,
        now: int,
        customer_id: str | None = None,
        shared: bool = False,
    ) -> str:
        """Return one token, 64 characters, valid in [``not_before``, ``expires_at``), Unix seconds.

        With a ``customer_id`` it is bound to that holder; ``shared`` allows many uses.

        Raises:
            SigningError: A field is out of range, the validity is empty or over, or it ends more than 401
                days after ``now`` or after the key's own life.
        """
        require_range("offer_index", offer_index, U16_MAX)
        require_range("serial", serial, SERIAL_MAX)
        self._require_validity(not_before=not_before, expires_at=expires_at, now=now)
        holder_tag = _UNBOUND
        if customer_id is not None:
            holder_tag = _holder_tag(self._holder_mac, require_text("customer_id", customer_id))
        body = _BODY.pack(
            VERSION,
            FLAG_HOLDER_BOUND * (customer_id is not None) | FLAG_SHARED * shared,
            self._key.id,
            self._campaign,
            offer_index,
            not_before,
            expires_at,
            0,
            serial >> _SERIAL_HIGH_SHIFT,
            serial & U32_MAX,
            holder_tag,
        )
        return armor(body + self._token_mac.digest(body)[:TAG_LENGTH])

    def _require_validity(self, *, not_before: int, expires_at: int, now: int) -> None:
        require_range("not_before", not_before, U32_MAX)
        require_range("expires_at", expires_at, U32_MAX)
        if expires_at <= max(not_before, now):
            raise SigningError(
                f"expires_at is {expires_at}; it must be after not_before ({not_before}) and now ({now})"
            )
        if expires_at - now > TOKEN_LIFE_SECONDS_MAX:
            raise SigningError(f"expires_at is more than {TOKEN_LIFE_DAYS_MAX} days away; choose an earlier one")
        if expires_at > self._key.max_expires_at:
            raise SigningError(
                f"expires_at is {expires_at}, but key {self._key.id} signs nothing that outlives"
                f" {self._key.max_expires_at}; promote a newer key or choose an earlier expiry"
            )


def _token_mac(material: Secret, environment: bytes, program: bytes, ids: bytes) -> Mac:
    key = material.derive(b"redemption/v1/campaign", environment, program, ids[:4], ids[4:])
    return Mac(key, pae_prefix(b"redemption/v1/token", environment, program, last_length=BODY_LENGTH))


def _holder_mac(material: Secret, environment: bytes, program: bytes, ids: bytes) -> Mac:
    return Mac(material.derive(b"redemption/v1/holder", environment, program, ids[:4], ids[4:]))


def _holder_tag(mac: Mac, customer_id: bytes) -> bytes:
    return mac.digest(pae(b"redemption/v1/holder-tag", customer_id))[:HOLDER_TAG_LENGTH]


def _why_unreadable(text: str) -> TokenDefect:
    if _ANY_VERSION.fullmatch(text) is None:
        return TokenDefect.MALFORMED
    # The version is the first byte, so two characters are enough to read it; the rest is padding.
    version = unarmor(text[:2] + "A" * (ARMORED_LENGTH - 2))
    return TokenDefect.LENGTH if version and version[0] == VERSION else TokenDefect.VERSION


def signed_ids(text: str) -> SignedIds:
    """Return the ids in a text whose defect is ``signed``; of any other text they are worth nothing."""
    _, _, key_id, campaign, _, _, _, _, high, low, _ = _BODY.unpack_from(unarmor(text) or bytes(BODY_LENGTH))
    return SignedIds(key_id, campaign, high << _SERIAL_HIGH_SHIFT | low)


def _parse(raw: bytes, program: str, key: _TokenKey) -> VerifiedToken | TokenDefect:
    """Read the fields. The tag was correct, so whoever made a defect here has the key."""
    (_, flags, key_id, campaign, offer_index, not_before, expires_at, cell, high, low, holder_tag) = _BODY.unpack_from(
        raw
    )
    if expires_at <= not_before:
        return TokenDefect.VALIDITY
    if holder_tag != _UNBOUND and not flags & FLAG_HOLDER_BOUND:
        return TokenDefect.HOLDER_TAG
    if cell:
        return TokenDefect.CELL
    return VerifiedToken(
        _PROOF,
        program,
        key_id,
        key.usable,
        campaign,
        offer_index,
        not_before,
        expires_at,
        high << _SERIAL_HIGH_SHIFT | low,
        bool(flags & FLAG_HOLDER_BOUND),
        bool(flags & FLAG_SHARED),
        holder_tag,
        expires_at > key.max_expires_at,
    )
