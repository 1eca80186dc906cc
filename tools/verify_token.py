#!/usr/bin/env python3
"""Check one token against a keyset: an independent implementation of docs/token.md, with the standard library only.

It shares no code with the service, so the two can be compared. It is short enough that a person who must trust it can
read all of it. It does not check whether the token is valid *now*, nor whether it was used, nor whether the service can
have issued it: a token that says "shared" is genuine here, and the service refuses it.

    tools/verify_token.py --keyset FILE --program PROGRAM [--customer ID] TOKEN

Exit code 0: genuine (its fields are printed). 1: refused (the reason is printed). 2: it could not be checked.
"""

import argparse
import hashlib
import hmac
import json
import string
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"
TEXT_LENGTH, TEXT_LENGTH_MIN, TEXT_LENGTH_MAX = 64, 2, 512
BODY_LENGTH = 32
HOLDER_BOUND, SHARED = 1, 2
CUSTOMER_LENGTH_MAX = 128
UNUSABLE_STATES = {"DISABLED", "DESTROY_SCHEDULED"}
STATES = {"CREATED", "PRIMARY", "VERIFY_ONLY", "DESTROYED"} | UNUSABLE_STATES
KEYSET_FORMAT, KEYSET_LENGTH_MAX, KEYS_MAX = 1, 1 << 20, 1_000
KEYSET_FIELDS = {"format", "id", "environment", "development", "privacy_root", "keys"}
KEY_FIELDS = {"id", "state", "material", "created_at", "max_expires_at"}
ENVIRONMENT_LENGTH_MAX, DIFFERENT_BYTES_MIN = 128, 8
KEY_LIFE_SECONDS_MAX = 430 * 24 * 60 * 60


class KeysetUnreadableError(Exception):
    """The keyset file cannot be used; the message says why, and has no content of the file."""


@dataclass(frozen=True)
class SigningKey:
    """The fields of a key that are needed for a check."""

    state: str
    material: bytes
    max_expires_at: int


@dataclass(frozen=True)
class Keyset:
    """The fields of a keyset that are needed for a check: keys by id, without destroyed keys."""

    environment: str
    keys: dict[int, SigningKey]


@dataclass(frozen=True)
class Token:
    """The fields of a genuine token. Times are Unix seconds; valid in [not_before, expires_at)."""

    key_id: int
    key_usable: bool
    campaign: int
    offer_index: int
    not_before: int
    expires_at: int
    serial: int
    holder_bound: bool
    shared: bool
    holder_tag: str
    outlives_key: bool


def pae(*parts: bytes) -> bytes:
    """PASETO's pre-authentication encoding."""
    return len(parts).to_bytes(8, "little") + b"".join(len(p).to_bytes(8, "little") + p for p in parts)


def mac(key: bytes, message: bytes) -> bytes:
    """HMAC-SHA-256."""
    return hmac.new(key, message, hashlib.sha256).digest()


def hkdf(material: bytes, info: bytes) -> bytes:
    """HKDF-SHA-256 (RFC 5869) without salt, 32 bytes: extract, then the first block of expand."""
    return mac(mac(bytes(32), material), info + b"\x01")


def utf8(text: str) -> bytes:
    """The exact bytes of a text. Bytes that were not valid UTF-8 stay invalid, so they match nothing."""
    return text.encode("utf-8", "surrogatepass")


def campaign_key(material: bytes, environment: str, program: str, key_id: int, campaign: int) -> bytes:
    """The key that signs the tokens of one campaign."""
    ids = (key_id.to_bytes(4, "big"), campaign.to_bytes(4, "big"))
    return hkdf(material, pae(b"redemption/v1/campaign", utf8(environment), utf8(program), *ids))


def token_tag(key: bytes, environment: str, program: str, body: bytes) -> bytes:
    """The last 16 bytes of a token."""
    return mac(key, pae(b"redemption/v1/token", utf8(environment), utf8(program), body))[:16]


def holder_key(material: bytes, environment: str, program: str, key_id: int, campaign: int) -> bytes:
    """The key that binds the tokens of one campaign to their holders."""
    ids = (key_id.to_bytes(4, "big"), campaign.to_bytes(4, "big"))
    return hkdf(material, pae(b"redemption/v1/holder", utf8(environment), utf8(program), *ids))


def holder_tag(key: bytes, customer_id: str) -> bytes:
    """The six bytes that stand for a customer in a token."""
    return mac(key, pae(b"redemption/v1/holder-tag", utf8(customer_id)))[:6]


def decode(text: str) -> bytes:
    """Base64url without padding, for texts whose alphabet and length were checked."""
    number = 0
    for character in text:
        number = number << 6 | ALPHABET.index(character)
    return number.to_bytes(len(text) * 6 // 8, "big")


def verify(keyset: Keyset, program: str, text: str) -> Token | str:
    """The token's fields, or the reason why it is refused. It never raises, whatever the text."""
    body, reason = _readable(text)
    if reason:
        return reason
    key_id = int.from_bytes(body[2:6], "big")
    campaign = int.from_bytes(body[6:10], "big")
    key = keyset.keys.get(key_id)
    if key is None:
        return "key_unknown"
    derived = campaign_key(key.material, keyset.environment, program, key_id, campaign)
    expected = token_tag(derived, keyset.environment, program, body[:BODY_LENGTH])
    if not hmac.compare_digest(expected, body[BODY_LENGTH:]):
        return "tag"
    token = Token(
        key_id=key_id,
        key_usable=key.state not in UNUSABLE_STATES,
        campaign=campaign,
        offer_index=int.from_bytes(body[10:12], "big"),
        not_before=int.from_bytes(body[12:16], "big"),
        expires_at=int.from_bytes(body[16:20], "big"),
        serial=int.from_bytes(body[21:26], "big"),
        holder_bound=bool(body[1] & HOLDER_BOUND),
        shared=bool(body[1] & SHARED),
        holder_tag=body[26:32].hex(),
        outlives_key=int.from_bytes(body[16:20], "big") > key.max_expires_at,
    )
    if token.expires_at <= token.not_before:
        return "validity"
    if not token.holder_bound and int(token.holder_tag, 16):
        return "holder_tag"
    return "cell" if body[20] else token


def _readable(text: str) -> tuple[bytes, str]:
    if not TEXT_LENGTH_MIN <= len(text) <= TEXT_LENGTH_MAX or not set(text) <= set(ALPHABET):
        return b"", "malformed"
    if decode(text[:2] + "AA")[0] != 1:
        return b"", "version"
    if len(text) != TEXT_LENGTH:
        return b"", "length"
    raw = decode(text)
    if raw[1] & ~(HOLDER_BOUND | SHARED):
        return b"", "flags"
    return raw, ""


def holder_matches(keyset: Keyset, program: str, token: Token, customer_id: str) -> bool:
    """Whether a genuine, bound token is this customer's."""
    key = keyset.keys[token.key_id]
    derived = holder_key(key.material, keyset.environment, program, token.key_id, token.campaign)
    acceptable = token.holder_bound and 1 <= len(utf8(customer_id)) <= CUSTOMER_LENGTH_MAX
    expected = holder_tag(derived, customer_id).hex()
    return hmac.compare_digest(expected, token.holder_tag) and acceptable


def read_keyset(document: bytes) -> Keyset:
    """Read a keyset file's content, by every rule of the page.

    Raises:
        KeysetUnreadableError: It breaks a rule.
    """
    require(len(document) <= KEYSET_LENGTH_MAX, "it is longer than a keyset may be")
    try:
        # The hook sees nested objects as well, so a field given twice is found wherever it is.
        found = json.loads(document.decode(), object_pairs_hook=fields_once)
    except (ValueError, RecursionError):
        # The decoder's error holds the document with all its secrets, so it must not be chained.
        raise KeysetUnreadableError("it is not JSON in UTF-8; give the file that the service signs with") from None
    fields = exactly(found, KEYSET_FIELDS)
    require(fields["format"] == KEYSET_FORMAT and type(fields["format"]) is int, "its format is not known here")
    require(is_hexadecimal(fields["id"], 8), "its id is not 16 hexadecimal digits in lower case")
    require(is_environment(fields["environment"]), "its environment is not a text of 1 to 128 bytes")
    require(type(fields["development"]) is bool, "development is not true or false")
    require(is_secret(fields["privacy_root"]), "its privacy_root is not 64 hexadecimal digits of random bytes")
    keys = fields["keys"]
    require(type(keys) is list and 1 <= len(keys) <= KEYS_MAX, f"it has not 1 to {KEYS_MAX} keys")
    for key in keys:
        require_key(exactly(key, KEY_FIELDS))
    require(len({key["id"] for key in keys}) == len(keys), "two keys have one id")
    require([key["state"] for key in keys].count("PRIMARY") == 1, "not exactly one key is PRIMARY")
    secrets = [fields["privacy_root"], *(key["material"] for key in keys if key["material"] is not None)]
    require(len(set(secrets)) == len(secrets), "two of its secrets are the same")
    return Keyset(fields["environment"], dict(signing_key(key) for key in keys if key["material"] is not None))


def signing_key(key: dict[str, Any]) -> tuple[int, SigningKey]:
    """A key that was checked, by its id."""
    return key["id"], SigningKey(key["state"], bytes.fromhex(key["material"]), key["max_expires_at"])


def require_key(key: dict[str, Any]) -> None:
    """Refuse a key that breaks a rule."""
    require(is_number(key["id"]) and key["id"] >= 1, "a key's id is not a number from 1 to 2^32-1")
    require(isinstance(key["state"], str) and key["state"] in STATES, "a key has a state that is not known here")
    destroyed = key["state"] == "DESTROYED"
    require(key["material"] is None if destroyed else is_secret(key["material"]), "a key's material is not right")
    times = (key["created_at"], key["max_expires_at"])
    require(all(is_number(time) for time in times), "a key's times are not Unix seconds below 2^32")
    require(0 < times[1] - times[0] <= KEY_LIFE_SECONDS_MAX, "a key's max_expires_at is not 1 s to 430 days later")


def fields_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The fields of an object that gives each one once."""
    require(len(dict(pairs)) == len(pairs), "it gives a field twice")
    return dict(pairs)


def exactly(found: Any, names: set[str]) -> dict[str, Any]:  # noqa: ANN401 - whatever JSON holds
    """The fields of an object that has these and no others. A name may be a misplaced secret, so it is not shown."""
    require(isinstance(found, dict) and found.keys() == names, f"not exactly these fields are there: {sorted(names)}")
    fields: dict[str, Any] = found
    return fields


def is_number(value: object) -> bool:
    """Whether this is a whole number of 32 bits; true is none, nor is 1.0."""
    return type(value) is int and 0 <= value < 2**32


def is_hexadecimal(value: object, length: int) -> bool:
    """Whether this is so many bytes, in hexadecimal digits of lower case."""
    return isinstance(value, str) and len(value) == 2 * length and set(value) <= set("0123456789abcdef")


def is_secret(value: object) -> bool:
    """Whether this is 32 bytes that may be random."""
    return is_hexadecimal(value, 32) and len(set(bytes.fromhex(str(value)))) >= DIFFERENT_BYTES_MIN


def is_environment(value: object) -> bool:
    """Whether this is a text of 1 to 128 bytes; a lone surrogate is no text."""
    if not isinstance(value, str) or any("\ud800" <= character <= "\udfff" for character in value):
        return False
    return 1 <= len(utf8(value)) <= ENVIRONMENT_LENGTH_MAX


def require(right: bool, problem: str) -> None:  # noqa: FBT001 - a condition is what it takes
    """Refuse a keyset that is not right."""
    if not right:
        raise KeysetUnreadableError(problem)


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Check one token against a keyset, independently of the service.")
    parser.add_argument("--keyset", type=Path, required=True, help="the keyset file (secret: keep it where it is)")
    parser.add_argument("--program", required=True, help="the program the token is to be good for")
    parser.add_argument("--customer", help="also check that the token is bound to this customer id")
    parser.add_argument("token", help="64 characters")
    options = parser.parse_args(arguments)
    try:
        with options.keyset.open("rb") as file:
            keyset = read_keyset(file.read(KEYSET_LENGTH_MAX + 1))
    except (OSError, ValueError, KeysetUnreadableError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        print(f"cannot read the keyset: {reason}", file=sys.stderr)
        return 2
    result = verify(keyset, options.program, options.token)
    if isinstance(result, str):
        print(f"refused: {result}")
        return 1
    for name, value in asdict(result).items():
        print(f"{name}: {value}")
    if options.customer is not None and not holder_matches(keyset, options.program, result, options.customer):
        print("refused: holder")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
