"""Token vectors: tokens to accept and to refuse, holders, times, and the worked example of docs/token.md."""

import struct
from collections.abc import Iterator
from typing import Any

from vector_basis import (
    CREATED_AT,
    CUSTOMER,
    ENVIRONMENT,
    EXPIRES_AT,
    KEY_IDS,
    KEY_LIFE_SECONDS,
    NOT_BEFORE,
    PRIMARY,
    PROGRAM,
    U16,
    U32,
    U40,
    UNKNOWN,
    Draft,
    Vector,
    encode,
    material,
    refused,
)
from vector_records import receipt_body, signed_receipt
from verify_token import hkdf, holder_tag, mac, pae, token_tag, utf8

BROKEN_ALPHABET = {"-": "+", "_": "/"}
INTRUDERS = {
    "newline": "\n",
    "space": " ",
    "exclamation mark": "!",
    "NUL": "\0",
    "equals sign": "=",
    "fullwidth digit": "\uff11",
}


def accepted(name: str, draft: Draft, *, key_usable: bool = True) -> Vector:
    """A vector that must be accepted."""
    return {"name": name, "text": draft.text(), "token": draft.fields(key_usable=key_usable)}


def bound(customer_id: str = CUSTOMER, **more: Any) -> Draft:  # noqa: ANN401 - any field of a draft
    """A token with a holder."""
    draft = Draft(flags=1, **more)
    return Draft(flags=1, holder=holder_tag(draft.holder_key(), customer_id), **more)


def golden() -> Iterator[Vector]:
    """Tokens that must be accepted: every kind, every state of a key, every limit of a field."""
    yield accepted("unbound", Draft())
    yield accepted("holder-bound", bound())
    yield accepted("shared", Draft(flags=2))
    yield accepted("holder-bound and shared", Draft(flags=3, holder=bound().holder))
    yield accepted("bound, and the holder tag happens to be zero", Draft(flags=1))
    for state in ("CREATED", "VERIFY_ONLY"):
        yield accepted(f"key state {state}", Draft(key_id=KEY_IDS[state], key=material(state)))
    for state in ("DISABLED", "DESTROY_SCHEDULED"):
        draft = Draft(key_id=KEY_IDS[state], key=material(state))
        yield accepted(f"key state {state}", draft, key_usable=False)
    least = Draft(campaign=0, offer_index=0, not_before=0, expires_at=1, serial=0)
    yield accepted("every number at its least", least)
    most = Draft(campaign=U32, offer_index=U16, not_before=U32 - 1, expires_at=U32, serial=U40)
    yield accepted("every number at its most", most)
    yield accepted("serial 2^32 - 1", Draft(serial=U32))
    yield accepted("serial 2^32", Draft(serial=U32 + 1))
    yield accepted("valid for the whole of time", Draft(not_before=0, expires_at=U32))
    yield accepted("expires one second after it begins", Draft(expires_at=NOT_BEFORE + 1))
    yield accepted("expires one second earlier", Draft(expires_at=EXPIRES_AT - 1))
    yield accepted("expires one second later", Draft(expires_at=EXPIRES_AT + 1))


def hostile_texts() -> Iterator[Vector]:
    """Texts that a decoder which is not strict reads as a valid token."""
    # A token whose text has both characters in which base64 and base64url differ.
    candidates = (Draft(serial=number).text() for number in range(1_000))
    text = next(text for text in candidates if "-" in text and "_" in text)
    for right, wrong in BROKEN_ALPHABET.items():
        yield refused(f"{wrong} for {right}", "malformed", text.replace(right, wrong))
    for name, intruder in INTRUDERS.items():
        yield refused(f"{name} inserted", "malformed", text[:20] + intruder + text[20:])
        yield refused(f"{name} instead of a character", "malformed", text[:20] + intruder + text[21:])
    yield refused("trailing newline", "malformed", text + "\n")
    yield refused("leading newline", "malformed", "\n" + text)
    yield refused("trailing padding", "malformed", text + "====")
    yield refused("trailing NUL", "malformed", text + "\0")
    yield refused("cyrillic letter that looks latin", "malformed", "\u0410" + text[1:])
    yield refused("0 characters", "malformed", "")
    yield refused("1 character", "malformed", text[:1])
    yield refused("2 characters", "length", text[:2])
    yield refused("63 characters", "length", text[:63])
    yield refused("65 characters", "length", text + "A")
    yield refused("128 characters: the token twice", "length", text * 2)
    yield refused("512 characters", "length", text, repeat=8)
    yield refused("513 characters", "malformed", text[:1], repeat=513)
    yield refused("1 MB", "malformed", text, repeat=2**14)


def hostile_bindings() -> Iterator[Vector]:
    """Complete tokens that are signed for something else, or not signed."""
    good = Draft()
    for version in (0, 2, 255):
        yield refused(f"version {version}", "version", Draft(version=version).text())
    yield refused("version 2 and too short", "version", Draft(version=2).text()[:63])
    for bit in range(2, 8):
        yield refused(f"reserved flag, bit {bit}, correctly signed", "flags", Draft(flags=1 << bit).text())
    yield refused("unknown key", "key_unknown", Draft(key_id=UNKNOWN).text())
    yield refused("key id zero", "key_unknown", Draft(key_id=0).text())
    destroyed = Draft(key_id=KEY_IDS["DESTROYED"], key=material("DESTROYED"))
    yield refused("key state DESTROYED", "key_unknown", destroyed.text())
    yield refused("signed for another program", "tag", Draft(program="shop2").text())
    yield refused("presented to another program", "tag", good.text(), program="shop2")
    yield refused("program in capitals", "tag", good.text(), program="Shop")
    yield refused("signed for another environment", "tag", Draft(environment="staging").text())
    yield refused("presented in another environment", "tag", good.text(), keyset="staging")
    yield refused("same key id, other material", "tag", good.text(), keyset="other_material")
    tag = tag_of(good)
    yield refused("another campaign", "tag", Draft(campaign=8).text(tag=tag))
    yield refused("another offer", "tag", Draft(offer_index=3).text(tag=tag))
    yield refused("another serial", "tag", Draft(serial=good.serial + 1).text(tag=tag))
    yield refused("another expiry", "tag", Draft(expires_at=EXPIRES_AT + 1).text(tag=tag))
    yield refused("another known key's id", "tag", Draft(key_id=KEY_IDS["VERIFY_ONLY"]).text(tag=tag))
    yield refused("binding removed", "tag", Draft().text(tag=tag_of(bound())))
    yield refused("zero tag", "tag", good.text(tag=bytes(16)))
    yield from forged_tags(good)
    yield refused("a receipt as a token", "tag", signed_receipt(receipt_body(PRIMARY)))


def tag_of(draft: Draft) -> bytes:
    """The tag of a draft."""
    return token_tag(draft.campaign_key(), draft.environment, draft.program, draft.body())


def forged_tags(draft: Draft) -> Iterator[Vector]:
    """Tags made from the right key material in a wrong way."""
    body, key, master = draft.body(), draft.campaign_key(), draft.key
    place = (utf8(draft.environment), utf8(draft.program))
    label = b"redemption/v1/token"
    proper = pae(label, *place, body)
    big_endian = b"".join(len(part).to_bytes(8, "big") + part for part in (label, *place, body))
    shifted = pae(label, utf8(draft.environment + draft.program[0]), utf8(draft.program[1:]), body)
    forgeries = {
        "tag by the master key": mac(master, proper)[:16],
        "tag by the holder key": mac(draft.holder_key(), proper)[:16],
        "rightmost bytes of the tag": mac(key, proper)[16:],
        "PAE boundary shifted from program to environment": mac(key, shifted)[:16],
        "no PAE, parts joined": mac(key, label + b"".join(place) + body)[:16],
        "PAE with big-endian counts": mac(key, (4).to_bytes(8, "big") + big_endian)[:16],
        "PAE without label": mac(key, pae(*place, body))[:16],
        "PAE without program": mac(key, pae(label, place[0], body))[:16],
        "PAE without environment": mac(key, pae(label, place[1], body))[:16],
        "another label": mac(key, pae(b"redemption/v1/receipt-tag", *place, body))[:16],
        "bare body": mac(key, body)[:16],
    }
    for name, tag in forgeries.items():
        yield refused(name, "tag", draft.text(tag=tag))
    ids = (draft.key_id.to_bytes(4, "big"), draft.campaign.to_bytes(4, "big"))
    derivations = {
        "campaign key derived for another program": (b"redemption/v1/campaign", place[0], b"shop2", *ids),
        "campaign key derived for another environment": (
            b"redemption/v1/campaign",
            b"staging",
            place[1],
            *ids,
        ),
        "campaign key derived without campaign": (b"redemption/v1/campaign", *place, ids[0]),
        "campaign key derived with little-endian ids": (
            b"redemption/v1/campaign",
            *place,
            ids[0][::-1],
            ids[1][::-1],
        ),
        "campaign key derived with the ids exchanged": (b"redemption/v1/campaign", *place, *ids[::-1]),
    }
    for name, info in derivations.items():
        yield refused(name, "tag", draft.text(tag=mac(hkdf(master, pae(*info)), proper)[:16]))
    numbers = (draft.campaign, draft.offer_index, draft.not_before, draft.expires_at)
    serial = draft.serial.to_bytes(6, "little")
    little = body[:6] + struct.pack("<IHII", *numbers) + serial + draft.holder
    signed = token_tag(key, draft.environment, draft.program, little)
    yield refused("little-endian fields", "tag", encode(little + signed))
    little = body[:2] + draft.key_id.to_bytes(4, "little") + little[6:]
    signed = token_tag(key, draft.environment, draft.program, little)
    yield refused("little-endian fields and key id", "key_unknown", encode(little + signed))


def hostile() -> Iterator[Vector]:
    """All tokens that must be refused."""
    yield from hostile_texts()
    yield from hostile_bindings()
    yield from signed_nonsense()


def signed_nonsense() -> Iterator[Vector]:
    """Tokens that are correctly signed, but whose fields are invalid."""
    yield refused("expires when it begins", "validity", Draft(expires_at=NOT_BEFORE).text())
    yield refused("expires before it begins", "validity", Draft(expires_at=NOT_BEFORE - 1).text())
    yield refused("all times zero", "validity", Draft(not_before=0, expires_at=0).text())
    yield refused("begins at the end of time", "validity", Draft(not_before=U32, expires_at=U32).text())
    yield refused("unbound with a holder tag", "holder_tag", Draft(holder=bound().holder).text())
    yield refused("unbound with one bit of a holder tag", "holder_tag", Draft(holder=bytes(5) + b"\x01").text())
    for cell in (1, 128, 255):
        yield refused(f"cell {cell}", "cell", Draft(cell=cell).text())


def holders() -> Iterator[Vector]:
    """Customer ids that match a bound token or do not: only exactly the same bytes match."""
    composed, decomposed = "caf\u00e9", "cafe\u0301"
    longest = "x" * 128
    rows = [
        ("the holder", CUSTOMER, CUSTOMER, True),
        ("another customer", CUSTOMER, "customer-43", False),
        ("other case", CUSTOMER, "Customer-42", False),
        ("trailing space", CUSTOMER, CUSTOMER + " ", False),
        ("trailing NUL", CUSTOMER, CUSTOMER + "\0", False),
        ("composed, bound composed", composed, composed, True),
        ("decomposed, bound composed", composed, decomposed, False),
        ("composed, bound decomposed", decomposed, composed, False),
        ("128 bytes", longest, longest, True),
        ("128 bytes in 64 characters", "\u00e9" * 64, "\u00e9" * 64, True),
        ("129 bytes, even if bound so", longest + "x", longest + "x", False),
        ("empty, even if bound so", "", "", False),
        ("emoji", "\U0001f600", "\U0001f600", True),
    ]
    for name, holder, presented, matches in rows:
        yield {"name": name, "text": bound(holder).text(), "customer_id": presented, "matches": matches}
    yield {
        "name": "an unbound token has no holder",
        "text": Draft().text(),
        "customer_id": CUSTOMER,
        "matches": False,
    }
    moved = Draft(flags=1, campaign=8, holder=bound().holder).text()
    yield {"name": "holder tag of another campaign", "text": moved, "customer_id": CUSTOMER, "matches": False}


def times() -> Iterator[Vector]:
    """Times in and out of [not before, expires at); the caller applies this rule with its own clock."""
    text = Draft().text()
    rows = {NOT_BEFORE - 1: "not_yet_valid", NOT_BEFORE: "valid", EXPIRES_AT - 1: "valid"}
    rows |= {EXPIRES_AT: "expired", EXPIRES_AT + 1: "expired"}
    for at, state in rows.items():
        yield {"text": text, "at": at, "state": state}


def key_lives() -> Iterator[Vector]:
    """Correctly signed tokens that end before, with and after their key; the service refuses the last kind."""
    end = CREATED_AT + KEY_LIFE_SECONDS
    for state in ("PRIMARY", "VERIFY_ONLY"):
        for after in (-1, 0, 1):
            draft = Draft(key_id=KEY_IDS[state], key=material(state), expires_at=end + after)
            yield {
                "name": f"key state {state}, {after:+} s",
                "text": draft.text(),
                "outlives_key": after > 0,
            }


def worked_example() -> dict[str, str]:
    """All intermediate values of one bound token in hexadecimal, as in docs/token.md."""
    draft = bound()
    names = (
        utf8(ENVIRONMENT),
        utf8(PROGRAM),
        draft.key_id.to_bytes(4, "big"),
        draft.campaign.to_bytes(4, "big"),
    )
    customer = pae(b"redemption/v1/holder-tag", utf8(CUSTOMER))
    message = pae(b"redemption/v1/token", names[0], names[1], draft.body())
    return {
        "key_material": draft.key.hex(),
        "campaign_info": pae(b"redemption/v1/campaign", *names).hex(),
        "extracted": mac(bytes(32), draft.key).hex(),
        "campaign_key": draft.campaign_key().hex(),
        "holder_info": pae(b"redemption/v1/holder", *names).hex(),
        "holder_key": draft.holder_key().hex(),
        "holder_message": customer.hex(),
        "holder_tag": draft.holder.hex(),
        "body": draft.body().hex(),
        "message": message.hex(),
        "hmac": mac(draft.campaign_key(), message).hex(),
        "tag": tag_of(draft).hex(),
        "token": draft.text(),
    }
