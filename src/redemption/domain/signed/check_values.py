"""Check values: by these, fence and ledger know the secrets of a keyset again without holding them.

``docs/token.md`` is the specification. A keyset's id alone does not show that its secrets were edited. There is one
value for the privacy root and one for each key, so that keys can come, change their state and go. A key's value is of
its life as well: when a key was made and until when its tokens can be valid never changes.
"""

from typing import Final

from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.pae import exact_bytes, pae
from redemption.domain.signed.primitives import hmac
from redemption.domain.signed.signing import Secret

PRIVACY_ROOT: Final = "privacy_root"
"""The name of the privacy root's value; a key's value has the name of its id, 8 hexadecimal digits."""
CHECK_VALUE_LENGTH: Final = 16


def check_values(keyset: Keyset) -> dict[str, str]:
    """Return the check values of a keyset by their names, in hexadecimal; a destroyed key has none any more.

    The root's value is of the environment as well: with another one all digests differ, as with another root.
    """
    values = {PRIVACY_ROOT: _value(keyset.privacy_root, b"root", exact_bytes(keyset.environment))}
    for key in keyset.keys:
        if key.material is not None:
            life = (key.created_at.to_bytes(4), key.max_expires_at.to_bytes(4))
            values[f"{key.id:08x}"] = _value(key.material, b"key", key.id.to_bytes(4), *life)
    return values


def named(name: str) -> str:
    """Return what a check value is of, in words."""
    return "privacy_root (or environment)" if name == PRIVACY_ROOT else f"material or times of key {name}"


def _value(secret: Secret, kind: bytes, of: bytes, *unchanging: bytes) -> str:
    check_key = secret.derive(b"redemption/v1/check", kind, of)
    return hmac(check_key.reveal(), pae(b"redemption/v1/check-value", *unchanging))[:CHECK_VALUE_LENGTH].hex()
