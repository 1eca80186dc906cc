"""Vectors of receipts, settlements, check values and digests."""

import struct
from collections.abc import Iterator

from vector_basis import (
    ENVIRONMENT,
    KEY_IDS,
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
    keysets,
    material,
    refused,
)
from verify_token import hkdf, mac, pae, utf8


def receipt_key(key_id: int, state: str) -> bytes:
    """The key that signs the receipts and settlements of one signing key."""
    names = (utf8(ENVIRONMENT), utf8(PROGRAM), key_id.to_bytes(4, "big"))
    return hkdf(material(state), pae(b"redemption/v1/receipt", *names))


def receipt_body(
    key_id: int,
    *,
    version: int = 1,
    flags: int = 0,
    serial: int = 123_456_789,
    use: bytes = bytes(8),
    generation: int = 0,
    reserved: int = 0,
) -> bytes:
    """Bytes 0 to 31 of a receipt."""
    head = struct.pack(">BBII", version, flags, key_id, 7) + serial.to_bytes(6, "big") + use
    return head + struct.pack(">HIH", generation, NOT_BEFORE + 60, reserved)


def signed_receipt(body: bytes, state: str = "PRIMARY", label: bytes = b"redemption/v1/receipt-tag") -> str:
    """A receipt whose tag is made with the key that has a given state."""
    key = receipt_key(int.from_bytes(body[2:6], "big"), state)
    return encode(body + mac(key, pae(label, utf8(ENVIRONMENT), utf8(PROGRAM), body))[:16])


def receipts() -> Iterator[Vector]:
    """Receipts that must be read, and receipts that must be refused."""
    use = bytes(range(1, 9))

    def read(name: str, text: str, **changed: str | int | bool) -> Vector:
        plain = {"key_id": PRIMARY, "campaign": 7, "serial": 123_456_789, "generation": 0}
        fields = plain | {"redeemed_at": NOT_BEFORE + 60, "shared": False, "use": bytes(8).hex()} | changed
        return {"name": name, "text": text, "receipt": fields}

    good = signed_receipt(receipt_body(PRIMARY))
    yield read("first redemption", good)
    yield read("of a coupon given back twice", signed_receipt(receipt_body(PRIMARY, generation=2)), generation=2)
    shared = signed_receipt(receipt_body(PRIMARY, flags=1, use=use))
    yield read("one use of a shared token", shared, shared=True, use=use.hex())
    yield read("largest serial", signed_receipt(receipt_body(PRIMARY, serial=U40)), serial=U40)
    for state in ("CREATED", "VERIFY_ONLY", "DISABLED", "DESTROY_SCHEDULED"):
        key_id = KEY_IDS[state]
        yield read(f"key state {state}", signed_receipt(receipt_body(key_id), state), key_id=key_id)
    destroyed = signed_receipt(receipt_body(KEY_IDS["DESTROYED"]), "DESTROYED")
    yield refused("key state DESTROYED", "key_unknown", destroyed)
    yield refused("unknown key", "key_unknown", signed_receipt(receipt_body(UNKNOWN)))
    yield refused("trailing newline", "malformed", good + "\n")
    yield refused("63 characters", "malformed", good[:63])
    yield refused("empty", "malformed", "")
    yield refused("version 2", "version", signed_receipt(receipt_body(PRIMARY, version=2)))
    yield refused("reserved flag", "flags", signed_receipt(receipt_body(PRIMARY, flags=2)))
    yield refused("presented to another program", "tag", good, program="shop2")
    yield refused("presented in another environment", "tag", good, keyset="staging")
    yield refused("zero tag", "tag", encode(receipt_body(PRIMARY) + bytes(16)))
    yield refused("a token as a receipt", "tag", Draft().text())
    settled = signed_receipt(receipt_body(PRIMARY), label=b"redemption/v1/settlement")
    yield refused("signed with the settlement's label", "tag", settled)
    yield refused("reserved bytes set", "fields", signed_receipt(receipt_body(PRIMARY, reserved=1)))
    yield refused("cell set", "fields", signed_receipt(receipt_body(PRIMARY, serial=1 << 40)))
    yield refused("a use without the shared flag", "fields", signed_receipt(receipt_body(PRIMARY, use=use)))


def settlement_body(redemptions: list[Vector], *, order_id: bytes = b"order-1", count: int | None = None) -> bytes:
    """All bytes of a settlement before its tag."""
    body = struct.pack(">BBI", 1, 0, PRIMARY) + bytes([len(order_id)]) + order_id
    body += bytes([len(redemptions) if count is None else count])
    for redemption in redemptions:
        body += struct.pack(">I", redemption["campaign"]) + redemption["serial"].to_bytes(6, "big")
        body += bytes.fromhex(redemption["use"]) + struct.pack(">H", redemption["generation"])
        body += struct.pack(">QH", redemption["discount_minor"], len(redemption["allocations"]))
        for line_id, amount_minor, merchant_minor in redemption["allocations"]:
            body += bytes([len(utf8(line_id))]) + utf8(line_id) + struct.pack(">QQ", amount_minor, merchant_minor)
    return body


def redemption(*allocations: tuple[str, int, int], serial: int = 123_456_789, discount: int | None = None) -> Vector:
    """One redemption of a settlement."""
    allocated = sum(amount_minor for _, amount_minor, _ in allocations)
    return {
        "campaign": 7,
        "serial": serial,
        "use": bytes(8).hex(),
        "generation": 0,
        "discount_minor": allocated if discount is None else discount,
        "allocations": allocations,
    }


def settlements() -> Iterator[Vector]:
    """Settlements that must be read, and settlements that must be refused; bytes are in hexadecimal."""

    def signed(body: bytes, label: bytes = b"redemption/v1/settlement") -> str:
        key = receipt_key(int.from_bytes(body[2:6], "big"), "PRIMARY")
        return (body + mac(key, pae(label, utf8(ENVIRONMENT), utf8(PROGRAM), body))[:16]).hex()

    def read(name: str, order_id: str, *redemptions: Vector) -> Vector:
        text = signed(settlement_body(list(redemptions), order_id=utf8(order_id)))
        settlement = {"key_id": PRIMARY, "order_id": order_id, "redemptions": redemptions}
        return {"name": name, "hex": text, "settlement": settlement}

    def refuse(name: str, defect: str, text: str, **more: str) -> Vector:
        return {"name": name, "hex": text, "defect": defect, **more}

    most = 2**53 - 1
    one = redemption(("line-1", 300, 100), ("line-2", 700, 0))
    body = settlement_body([one])
    yield read("one coupon over two lines", "order-1", one)
    yield read("two coupons", "\u8ba2\u5355-1", one, redemption(("line-1", 1, 1), serial=U40) | {"campaign": U32})
    shared = one | {"use": bytes(range(1, 9)).hex(), "generation": U16}
    yield read("a shared coupon, the largest generation", "order-1", shared)
    yield read("the largest amount, the longest ids", "o" * 128, redemption(("l" * 128, most, most)))
    yield read("free of charge: nothing allocated", "order-1", redemption())
    yield refuse("empty", "length", "")
    yield refuse("21 bytes", "length", signed(body)[:42])
    yield refuse("version 2", "version", signed(b"\x02" + body[1:]))
    yield refuse("a flag", "flags", signed(b"\x01\x01" + body[2:]))
    yield refuse("unknown key", "key_unknown", signed(body[:2] + UNKNOWN.to_bytes(4, "big") + body[6:]))
    yield refuse("presented to another program", "tag", signed(body), program="shop2")
    yield refuse("presented in another environment", "tag", signed(body), keyset="staging")
    yield refuse("a byte more", "tag", signed(body) + "00")
    yield refuse("a byte less", "tag", signed(body)[:-2])
    yield refuse("signed with the receipt's label", "tag", signed(body, b"redemption/v1/receipt-tag"))
    yield refuse("head only", "body", signed(body[:6]))
    yield refuse("truncated body", "body", signed(body[:-1]))
    yield refuse("trailing byte in the body", "body", signed(body + b"\x00"))
    yield refuse("no redemption", "body", signed(settlement_body([])))
    yield refuse("33 redemptions", "body", signed(settlement_body([one] * 33)))
    yield refuse("more redemptions announced than given", "body", signed(settlement_body([one], count=2)))
    yield refuse("empty order id", "body", signed(settlement_body([one], order_id=b"")))
    yield refuse("order id of 129 bytes", "body", signed(settlement_body([one], order_id=b"o" * 129)))
    yield refuse("order id that is not UTF-8", "body", signed(settlement_body([one], order_id=b"\xff")))
    impossible = {
        "empty line id": redemption(("", 1, 0)),
        "line id of 129 bytes": redemption(("l" * 129, 1, 0)),
        "the same line twice": redemption(("line-1", 1, 0), ("line-1", 2, 0)),
        "merchant bears more than the line's part": redemption(("line-1", 1, 2)),
        "amount of 2^53": redemption(("line-1", most + 1, 0)),
        "allocations sum to less than the discount": redemption(("line-1", 1, 0), discount=2),
        "allocations sum to more than the discount": redemption(("line-1", 2, 0), discount=1),
        "cell set": redemption(("line-1", 1, 0), serial=1 << 40),
    }
    for name, content in impossible.items():
        yield refuse(name, "body", signed(settlement_body([content])))
    yield read("campaign 0, and a line to which nothing was allocated", "\0", redemption(("l", 0, 0)) | {"campaign": 0})
    yield read("a line id composed and decomposed: two lines", "o", redemption(("\u00e9", 1, 0), ("e\u0301", 2, 0)))
    yield refuse("a discount and no allocation", "body", signed(settlement_body([redemption(discount=1)])))
    yield refuse("line id that is a surrogate", "body", signed(settlement_body([redemption(("\ud800", 1, 0))])))
    for name, order_id in {"overlong": b"\xc0\x80", "a surrogate": b"\xed\xa0\x80", "cut off": b"\xc3"}.items():
        yield refuse(f"order id in UTF-8 that is {name}", "body", signed(settlement_body([one], order_id=order_id)))


def check_values() -> Vector:
    """The check values of each keyset of keysets.json, by the name of the keyset."""

    def value(secret: str, kind: bytes, of: bytes, *unchanging: bytes) -> str:
        key = hkdf(bytes.fromhex(secret), pae(b"redemption/v1/check", kind, of))
        return mac(key, pae(b"redemption/v1/check-value", *unchanging))[:16].hex()

    found = {}
    for name, document in keysets().items():
        found[name] = {"privacy_root": value(document["privacy_root"], b"root", utf8(document["environment"]))}
        for key in document["keys"]:
            if key["material"]:
                number, *life = (key[field].to_bytes(4, "big") for field in ("id", "created_at", "max_expires_at"))
                found[name][f"{key['id']:08x}"] = value(key["material"], b"key", number, *life)
    return found


def digests() -> Iterator[Vector]:
    """Digests of every kind, and of inputs that must give different digests."""
    root = material("privacy root")
    lengths = {"customer": 8, "person": 8, "device": 8, "network": 8, "payment": 8}
    lengths |= {"order": 6, "request": 10, "content": 8, "code": 10}
    for kind, length in lengths.items():
        key = hkdf(root, pae(b"redemption/v1/digest", utf8(ENVIRONMENT), utf8(PROGRAM), utf8(kind)))
        for parts in ([b"customer-42"], [b"ab", b"c"], [b"a", b"bc"], [b"abc"], [b""], []):
            digest = mac(key, pae(*parts))[:length]
            yield {"kind": kind, "parts": [part.hex() for part in parts], "digest": digest.hex()}
