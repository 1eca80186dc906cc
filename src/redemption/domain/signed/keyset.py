"""The signing keys, their states, and the keyset that holds them: reading, writing, and changing states."""

import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from redemption.domain.signed.signing import SECRET_LENGTH, U32_MAX, Secret, SigningError, require_text

FORMAT: Final = 1
DAY_SECONDS: Final = 24 * 60 * 60
KEY_LIFE_DAYS_MAX: Final = 430
KEY_LIFE_SECONDS_MAX: Final = KEY_LIFE_DAYS_MAX * DAY_SECONDS
"""A key can sign the longest token only in the first weeks of its life: time to distribute, promote and replace it."""
KEYS_MAX: Final = 1_000
DIFFERENT_BYTES_MIN: Final = 8
"""How many different bytes a secret has at least: 32 random bytes have about 30, and fewer than 8 of them never."""
JSON_LENGTH_MAX: Final = 1 << 20

RandomBytes = Callable[[int], bytes]

_KEYSET_ID: Final = re.compile(r"[0-9a-f]{16}")
_SECRET_HEX: Final = re.compile(rf"[0-9a-f]{{{2 * SECRET_LENGTH}}}")


class KeysetError(ValueError):
    """A keyset is not valid; the message names the field and the fix, and never shows a secret."""


class KeyState(StrEnum):
    """The states of a key, in the order of its life."""

    CREATED = "CREATED"
    """Verifies, but does not sign yet: every server must know the key before the first token uses it."""
    PRIMARY = "PRIMARY"
    """Signs new tokens and verifies. There is exactly one."""
    VERIFY_ONLY = "VERIFY_ONLY"
    """Verifies what it signed, signs no new tokens."""
    DISABLED = "DISABLED"
    """Its tags can still be checked, but new requests with its tokens are refused; old approvals stay valid."""
    DESTROY_SCHEDULED = "DESTROY_SCHEDULED"
    """As disabled; the key material will be deleted soon."""
    DESTROYED = "DESTROYED"
    """The key material is deleted and the key counts as unknown; the id is kept so that it is not used again."""

    @property
    def usable(self) -> bool:
        """Whether a token of this key can serve a new request."""
        return self in {KeyState.CREATED, KeyState.PRIMARY, KeyState.VERIFY_ONLY}


_MOVES: Final = {
    KeyState.CREATED: {KeyState.PRIMARY, KeyState.DISABLED},
    KeyState.PRIMARY: set[KeyState](),  # left only by promoting another key, so that there is always one
    KeyState.VERIFY_ONLY: {KeyState.PRIMARY, KeyState.DISABLED},
    KeyState.DISABLED: {KeyState.VERIFY_ONLY, KeyState.DESTROY_SCHEDULED},
    KeyState.DESTROY_SCHEDULED: {KeyState.DISABLED, KeyState.DESTROYED},
    KeyState.DESTROYED: set[KeyState](),
}


@dataclass(frozen=True, slots=True)
class Key:
    """One signing key. Times are Unix seconds; no token it signs outlives ``max_expires_at``."""

    id: int
    state: KeyState
    material: Secret | None
    created_at: int
    max_expires_at: int

    def __post_init__(self) -> None:
        if not 1 <= self.id <= U32_MAX:
            raise KeysetError(f"id: {self.id} is no key id; use a random number from 1 to {U32_MAX}")
        if not 0 <= self.created_at < self.max_expires_at <= U32_MAX:
            raise KeysetError("max_expires_at: must be after created_at, both in Unix seconds below 2^32")
        if self.max_expires_at - self.created_at > KEY_LIFE_SECONDS_MAX:
            raise KeysetError(f"max_expires_at: must be at most {KEY_LIFE_DAYS_MAX} days after created_at")
        if (self.material is None) != (self.state is KeyState.DESTROYED):
            raise KeysetError("material: a destroyed key has none (null) and every other key has one")
        if self.material is not None and _repeats(self.material):
            raise KeysetError(f"material: {_NOT_RANDOM}")


@dataclass(frozen=True, slots=True)
class Keyset:
    """All keys of one environment, and the privacy root under which people are digested.

    The ledger remembers the keyset by its ``id``. A ``development`` keyset was made by a first start and is
    refused in any other environment. The privacy root signs nothing. It is never rotated silently: that would
    reset every limit.
    """

    id: str
    environment: str
    development: bool
    privacy_root: Secret
    keys: tuple[Key, ...]

    def __post_init__(self) -> None:
        if _KEYSET_ID.fullmatch(self.id) is None:
            raise KeysetError("id: must be 16 lower-case hexadecimal digits")
        try:
            require_text("environment", self.environment)
        except SigningError as error:
            raise KeysetError(f"environment: {error}") from None
        if _repeats(self.privacy_root):
            raise KeysetError(f"privacy_root: {_NOT_RANDOM}")
        if not 1 <= len(self.keys) <= KEYS_MAX:
            raise KeysetError(f"keys: there are {len(self.keys)}; keep 1 to {KEYS_MAX}")
        ids = [key.id for key in self.keys]
        if repeated := sorted({key_id for key_id in ids if ids.count(key_id) > 1}):
            raise KeysetError(f"keys: id {repeated[0]} appears more than once; key ids are never reused")
        primaries = sum(key.state is KeyState.PRIMARY for key in self.keys)
        if primaries != 1:
            raise KeysetError(f"keys: {primaries} keys are PRIMARY; exactly one must be")
        secrets = [self.privacy_root, *(key.material for key in self.keys if key.material)]
        if len({secret.reveal() for secret in secrets}) != len(secrets):
            raise KeysetError("keys: two keys, or a key and privacy_root, share their bytes; each must be random")

    @property
    def primary(self) -> Key:
        """The key that signs."""
        return next(key for key in self.keys if key.state is KeyState.PRIMARY)

    @classmethod
    def generate(cls, *, environment: str, development: bool, now: int, random: RandomBytes) -> "Keyset":
        """Return a keyset with one primary key. ``random`` is like ``secrets.token_bytes``, ``now`` Unix seconds."""
        return cls(
            id=random(8).hex(),
            environment=environment,
            development=development,
            privacy_root=Secret(random(SECRET_LENGTH)),
            keys=(_new_key((), state=KeyState.PRIMARY, now=now, random=random),),
        )

    def with_new_key(self, *, now: int, random: RandomBytes) -> "Keyset":
        """Return this keyset with one more key, CREATED: distribute it everywhere before promoting it."""
        taken = [key.id for key in self.keys]
        fresh = _new_key(taken, state=KeyState.CREATED, now=now, random=random)
        return replace(self, keys=(*self.keys, fresh))

    def with_state(self, key_id: int, state: KeyState) -> "Keyset":
        """Return this keyset with a key moved to another state.

        When a key becomes PRIMARY, the former primary key becomes VERIFY_ONLY; DESTROYED deletes the key material.

        Raises:
            KeysetError: The key is unknown, or the move is not part of a key's life.
        """
        current = next((key.state for key in self.keys if key.id == key_id), None)
        if current is None:
            raise KeysetError(f"keys: there is no key {key_id}; list the keys to see their ids")
        if state not in _MOVES[current]:
            allowed = ", ".join(sorted(_MOVES[current])) or "nothing; promote another key instead"
            raise KeysetError(f"keys: key {key_id} is {current} and cannot become {state}; it can: {allowed}")
        return replace(self, keys=tuple(_moved(key, key_id, state) for key in self.keys))

    def to_json(self) -> bytes:
        """Return the keyset as its file holds it. The bytes are secret."""
        document = {
            "format": FORMAT,
            "id": self.id,
            "environment": self.environment,
            "development": self.development,
            "privacy_root": self.privacy_root.reveal().hex(),
            "keys": [
                {
                    "id": key.id,
                    "state": key.state.value,
                    "material": key.material.reveal().hex() if key.material else None,
                    "created_at": key.created_at,
                    "max_expires_at": key.max_expires_at,
                }
                for key in self.keys
            ],
        }
        return json.dumps(document, indent=2).encode() + b"\n"

    @classmethod
    def from_json(cls, document: bytes) -> "Keyset":
        """Read what :meth:`to_json` wrote.

        Raises:
            KeysetError: Anything is missing, unknown, given twice or out of range.
        """
        fields = _fields(_parse(document), "", {"format", *cls.__slots__})
        if _typed(fields["format"], int, "format", "a number") != FORMAT:
            raise KeysetError(f"format: {fields['format']} is not known here; this release reads {FORMAT}")
        keys = _typed(fields["keys"], list, "keys", "a list")
        return cls(
            id=_typed(fields["id"], str, "id", "a text"),
            environment=_typed(fields["environment"], str, "environment", "a text"),
            development=_typed(fields["development"], bool, "development", "true or false"),
            privacy_root=_secret(fields["privacy_root"], "privacy_root"),
            keys=tuple(_key(key, f"keys[{index}]") for index, key in enumerate(keys)),
        )


_NOT_RANDOM: Final = (
    "is not random, its bytes repeat; make it with a random generator, for example openssl rand -hex 32"
)


def _repeats(secret: Secret) -> bool:
    """Whether a secret is surely not random, as all zeros are."""
    return len(set(secret.reveal())) < DIFFERENT_BYTES_MIN


def _new_key(taken: Iterable[int], *, state: KeyState, now: int, random: RandomBytes) -> Key:
    key_id = 0
    while key_id == 0 or key_id in taken:
        key_id = int.from_bytes(random(4))
    material = Secret(random(SECRET_LENGTH))
    return Key(key_id, state, material, created_at=now, max_expires_at=now + KEY_LIFE_SECONDS_MAX)


def _moved(key: Key, key_id: int, state: KeyState) -> Key:
    if key.id == key_id:
        return replace(key, state=state, material=None if state is KeyState.DESTROYED else key.material)
    if state is KeyState.PRIMARY and key.state is KeyState.PRIMARY:
        return replace(key, state=KeyState.VERIFY_ONLY)
    return key


def _parse(document: bytes) -> object:
    if len(document) > JSON_LENGTH_MAX:
        raise KeysetError(f"the keyset is longer than {JSON_LENGTH_MAX} bytes; is it the right file?")
    try:
        # The hook also sees the pairs of nested objects, so a field given twice is refused wherever it is.
        return json.loads(document.decode(), object_pairs_hook=_no_field_twice)
    except KeysetError:
        raise
    except (ValueError, RecursionError):
        # The decoder's error contains the document with all its secrets, so it must not be chained.
        raise KeysetError("the keyset is not JSON in UTF-8; is it the right file? Else restore its backup") from None


def _no_field_twice(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        raise KeysetError("the keyset gives a field twice; keep one of them")
    return fields


def _fields(value: object, where: str, names: set[str]) -> dict[str, Any]:
    place = where or "the keyset"
    fields: dict[str, Any] = _typed(value, dict, place, "an object")
    if missing := sorted(names - fields.keys()):
        raise KeysetError(f"{place}: the field {missing[0]} is missing; add it")
    if len(fields) > len(names):
        # A misplaced secret might be the name of a field, so unknown names are counted, but not shown.
        raise KeysetError(f"{place}: {len(fields) - len(names)} unknown fields; keep only {sorted(names)}")
    return fields


def _typed(value: object, kind: type, where: str, wanted: str) -> Any:  # noqa: ANN401 - what JSON holds
    if type(value) is not kind:  # the exact type: True is not a number here
        raise KeysetError(f"{where}: must be {wanted}")
    return value


def _secret(value: object, where: str) -> Secret:
    if not isinstance(value, str) or _SECRET_HEX.fullmatch(value) is None:
        raise KeysetError(f"{where}: must be {2 * SECRET_LENGTH} lower-case hexadecimal digits")
    return Secret(bytes.fromhex(value))


def _key(value: object, where: str) -> Key:
    fields = _fields(value, where, set(Key.__slots__))
    if fields["state"] not in list(KeyState):
        raise KeysetError(f"{where}.state: must be one of {', '.join(KeyState)}")
    try:
        return Key(
            id=_typed(fields["id"], int, "id", "a number"),
            state=KeyState(fields["state"]),
            material=None if fields["material"] is None else _secret(fields["material"], "material"),
            created_at=_typed(fields["created_at"], int, "created_at", "a number"),
            max_expires_at=_typed(fields["max_expires_at"], int, "max_expires_at", "a number"),
        )
    except KeysetError as error:
        raise KeysetError(f"{where}.{error}") from None
