"""The parts that vectors are made of: fixed secrets, a keyset with keys in every state, and the text of tokens."""

import struct
from dataclasses import dataclass, field
from typing import Any

from verify_token import ALPHABET, campaign_key, holder_key, mac, token_tag

Vector = dict[str, Any]

ENVIRONMENT, PROGRAM, CUSTOMER = "production", "shop", "customer-42"
U16, U32, U40 = 2**16 - 1, 2**32 - 1, 2**40 - 1
CREATED_AT = 1_750_000_000
NOT_BEFORE, EXPIRES_AT = 1_760_000_000, 1_762_592_000
KEY_LIFE_SECONDS = 400 * 24 * 60 * 60
BODY = struct.Struct(">BBIIHIIB5s6s")
PRIMARY, UNKNOWN = 0x1A2B3C4D, 0x7E57AB1E
KEY_IDS = {
    "PRIMARY": PRIMARY,
    "CREATED": 0x00000001,
    "VERIFY_ONLY": 0xFFFFFFFF,
    "DISABLED": 0x0D15AB1E,
    "DESTROY_SCHEDULED": 0xDE57C0DE,
    "DESTROYED": 0xDEADBEEF,
}


def material(label: str) -> bytes:
    """A fixed secret, different for each label."""
    return mac(b"test vectors, not a secret", label.encode())


def keyset(environment: str = ENVIRONMENT, *, salt: str = "") -> Vector:
    """A keyset document with a key in every state. Another ``salt`` gives other key material for the same ids."""
    keys = [
        {
            "id": key_id,
            "state": state,
            "material": None if state == "DESTROYED" else material(salt + state).hex(),
            "created_at": CREATED_AT,
            "max_expires_at": CREATED_AT + KEY_LIFE_SECONDS,
        }
        for state, key_id in KEY_IDS.items()
    ]
    root = material(salt + "privacy root").hex()
    return {
        "format": 1,
        "id": "0123456789abcdef",
        "environment": environment,
        "development": False,
        "privacy_root": root,
        "keys": keys,
    }


def keysets() -> dict[str, Vector]:
    """The keysets of all vectors, by their names."""
    return {"main": keyset(), "staging": keyset("staging"), "other_material": keyset(salt="other ")}


def encode(raw: bytes) -> str:
    """Base64url of bytes whose count is a multiple of three."""
    number = int.from_bytes(raw, "big")
    count = len(raw) * 8 // 6
    return "".join(ALPHABET[number >> 6 * (count - 1 - i) & 63] for i in range(count))


def refused(name: str, defect: str, text: str, **more: str | int) -> Vector:
    """A vector that must be refused for one reason."""
    return {"name": name, "text": text, "defect": defect, **more}


@dataclass(frozen=True)
class Draft:
    """The inputs of a token without any check, so that invalid tokens can be signed, too."""

    version: int = 1
    flags: int = 0
    key_id: int = PRIMARY
    campaign: int = 7
    offer_index: int = 2
    not_before: int = NOT_BEFORE
    expires_at: int = EXPIRES_AT
    cell: int = 0
    serial: int = 123_456_789
    holder: bytes = bytes(6)
    environment: str = ENVIRONMENT
    program: str = PROGRAM
    key: bytes = field(default_factory=lambda: material("PRIMARY"))

    def body(self) -> bytes:
        """Bytes 0 to 31."""
        serial = self.serial.to_bytes(5, "big")
        times = (self.not_before, self.expires_at)
        head = (self.version, self.flags, self.key_id, self.campaign, self.offer_index)
        return BODY.pack(*head, *times, self.cell, serial, self.holder)

    def campaign_key(self) -> bytes:
        """The key of its tag."""
        return campaign_key(self.key, self.environment, self.program, self.key_id, self.campaign)

    def holder_key(self) -> bytes:
        """The key of its holder tag."""
        return holder_key(self.key, self.environment, self.program, self.key_id, self.campaign)

    def text(self, *, tag: bytes | None = None) -> str:
        """The token, signed unless a tag is given."""
        body = self.body()
        return encode(body + (tag or token_tag(self.campaign_key(), self.environment, self.program, body)))

    def fields(self, *, key_usable: bool = True) -> Vector:
        """The fields that a verifier must read from it."""
        return {
            "key_id": self.key_id,
            "key_usable": key_usable,
            "campaign": self.campaign,
            "offer_index": self.offer_index,
            "not_before": self.not_before,
            "expires_at": self.expires_at,
            "serial": self.serial,
            "holder_bound": bool(self.flags & 1),
            "shared": bool(self.flags & 2),
            "holder_tag": self.holder.hex(),
        }
