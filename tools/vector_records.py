"""Vectors of receipts, settlements, reservation ids, check values and digests."""

import base64
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


def signed_bytes(text: str) -> bytes:
    """The bytes of a text in base64url."""
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def spelled(raw: bytes) -> str:
    """Bytes of any length in base64url, without padding."""
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode("ascii")


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


def settlement_body(
    redemptions: list[Vector], *, order_id: bytes = b"order-1", count: int | None = None, version: int = 2
) -> bytes:
    """All bytes of a settlement before its tag; version 1 does not say the amounts of lines."""
    body = struct.pack(">BBI", version, 0, PRIMARY) + bytes([len(order_id)]) + order_id
    body += bytes([len(redemptions) if count is None else count])
    for redemption in redemptions:
        body += struct.pack(">I", redemption["campaign"]) + redemption["serial"].to_bytes(6, "big")
        body += bytes.fromhex(redemption["use"]) + struct.pack(">H", redemption["generation"])
        body += struct.pack(">QH", redemption["discount_minor"], len(redemption["allocations"]))
        for line_id, amount_minor, merchant_minor, line_minor in redemption["allocations"]:
            body += bytes([len(utf8(line_id))]) + utf8(line_id) + struct.pack(">QQ", amount_minor, merchant_minor)
            body += struct.pack(">Q", line_minor) if version > 1 else b""
    return body


def redemption(
    *allocations: tuple[str, int, int] | tuple[str, int, int, int],
    serial: int = 123_456_789,
    discount: int | None = None,
) -> Vector:
    """One redemption of a settlement: line, amount, merchant share, and what the line cost if it was not free."""
    allocated = sum(amount_minor for _, amount_minor, *_ in allocations)
    return {
        "campaign": 7,
        "serial": serial,
        "use": bytes(8).hex(),
        "generation": 0,
        "discount_minor": allocated if discount is None else discount,
        "allocations": [(*each, each[1])[:4] for each in allocations],
    }


def settlements() -> Iterator[Vector]:
    """Settlements that must be read, and settlements that must be refused; bytes are in hexadecimal."""

    def signed(body: bytes, label: bytes = b"redemption/v1/settlement") -> str:
        key = receipt_key(int.from_bytes(body[2:6], "big"), "PRIMARY")
        return (body + mac(key, pae(label, utf8(ENVIRONMENT), utf8(PROGRAM), body))[:16]).hex()

    def read(name: str, order_id: str, *redemptions: Vector, version: int = 2) -> Vector:
        text = signed(settlement_body(list(redemptions), order_id=utf8(order_id), version=version))
        given = [each | {"allocations": [row[: version + 2] for row in each["allocations"]]} for each in redemptions]
        settlement = {"version": version, "key_id": PRIMARY, "order_id": order_id, "redemptions": given}
        return {"name": name, "hex": text, "settlement": settlement}

    def refuse(name: str, defect: str, text: str, **more: str) -> Vector:
        return {"name": name, "hex": text, "defect": defect, **more}

    most = 2**53 - 1
    one = redemption(("line-1", 300, 100, 12_000), ("line-2", 700, 0, 28_000))
    body = settlement_body([one])
    yield read("one coupon over two lines", "order-1", one)
    yield read("two coupons", "\u8ba2\u5355-1", one, redemption(("line-1", 1, 1), serial=U40) | {"campaign": U32})
    shared = one | {"use": bytes(range(1, 9)).hex(), "generation": U16}
    yield read("a shared coupon, the largest generation", "order-1", shared)
    yield read("the largest amount, the longest ids", "o" * 128, redemption(("l" * 128, most, most)))
    yield read("free of charge: nothing allocated", "order-1", redemption())
    yield refuse("empty", "length", "")
    yield refuse("21 bytes", "length", signed(body)[:42])
    yield read("version 1: without the amounts of lines", "order-1", one, version=1)
    yield refuse("version 3", "version", signed(b"\x03" + body[1:]))
    yield refuse("version 1 with the amounts of lines", "body", signed(b"\x01" + body[1:]))
    yield refuse("version 2 without them", "body", signed(b"\x02" + settlement_body([one], version=1)[1:]))
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
        "more taken off a line than it cost": redemption(("line-1", 300, 0, 299)),
        "a line that cost 2^53": redemption(("line-1", 300, 0, most + 1)),
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


def reserved_coupon(serial: int = 123_456_789, key_id: int = PRIMARY, **changed: int) -> Vector:
    """One coupon of a reservation."""
    plain = {"key_id": key_id, "campaign": 7, "serial": serial, "offer_index": 2, "generation": 0}
    amounts = {"discount_minor": 5000, "merchant_minor": 1000, "order_value_minor": 23_800}
    return plain | {"holder_bound": False} | amounts | changed


def reservation_body(
    *coupons: Vector, customer: bytes = bytes(8), flags: int = 0, coupon_flags: int = 0, **changed: int
) -> bytes:
    """All bytes of a reservation id before its tag."""
    head = {
        "version": 1,
        "key_id": coupons[0]["key_id"],
        "held_until": NOT_BEFORE + 900,
        "count": len(coupons),
    } | changed
    body = struct.pack(">BBI", head["version"], flags, head["key_id"]) + bytes(range(6)) + customer + b"terms!"
    body += struct.pack(">IB", head["held_until"], head["count"])
    for coupon in coupons:
        body += struct.pack(">II", coupon["key_id"], coupon["campaign"]) + coupon["serial"].to_bytes(6, "big")
        body += struct.pack(">HHB", coupon["offer_index"], coupon["generation"], coupon["holder_bound"] | coupon_flags)
        body += struct.pack(">QQQ", coupon["discount_minor"], coupon["merchant_minor"], coupon["order_value_minor"])
    return body


def signed_reservation(body: bytes, state: str = "PRIMARY", label: bytes = b"redemption/v1/reservation") -> str:
    """A reservation id whose tag is made with the key that has a given state."""
    key = receipt_key(int.from_bytes(body[2:6], "big"), state)
    return spelled(body + mac(key, pae(label, utf8(ENVIRONMENT), utf8(PROGRAM), body))[:16])


def reservations() -> Iterator[Vector]:
    """Reservation ids that must be read, and texts that must be refused."""
    one, customer = reserved_coupon(), bytes(range(1, 9))

    def read(name: str, text: str, *coupons: Vector, of_customer: bytes | None = None) -> Vector:
        fields = {
            "order": bytes(range(6)).hex(),
            "customer": of_customer and of_customer.hex(),
            "terms": b"terms!".hex(),
        }
        return {
            "name": name,
            "text": text,
            "reservation": fields | {"held_until": NOT_BEFORE + 900, "coupons": coupons or (one,)},
        }

    good = signed_reservation(reservation_body(one))
    yield read("one coupon of a guest", good)
    known = signed_reservation(reservation_body(one, customer=customer, flags=1))
    yield read("one coupon of a customer", known, of_customer=customer)
    bound = reserved_coupon(holder_bound=True, generation=U16, offer_index=U16)
    most = reserved_coupon(
        U40, campaign=U32, discount_minor=2**53 - 1, merchant_minor=2**53 - 1, order_value_minor=2**53 - 1
    )
    for coupons in ((one, bound), (one, bound, most)):
        yield read(f"{len(coupons)} coupons", signed_reservation(reservation_body(*coupons)), *coupons)
    many = tuple(reserved_coupon(serial) for serial in range(32))
    yield read("32 coupons", signed_reservation(reservation_body(*many)), *many)
    for state in ("CREATED", "VERIFY_ONLY", "DISABLED", "DESTROY_SCHEDULED"):
        coupon = reserved_coupon(key_id=KEY_IDS[state])
        yield read(f"key state {state}", signed_reservation(reservation_body(coupon), state), coupon)
    destroyed = signed_reservation(reservation_body(reserved_coupon(key_id=KEY_IDS["DESTROYED"])), "DESTROYED")
    yield refused("key state DESTROYED", "key_unknown", destroyed)
    unknown = signed_reservation(reservation_body(reserved_coupon(key_id=UNKNOWN)))
    yield refused("unknown key", "key_unknown", unknown)
    yield refused("empty", "malformed", "")
    yield refused("trailing newline", "malformed", good + "\n")
    yield refused("padded", "malformed", signed_reservation(reservation_body(one, bound)) + "=")
    yield refused(
        "another spelling of the last bits", "malformed", signed_reservation(reservation_body(one, bound))[:-1] + "_"
    )
    yield refused("a character less", "malformed", good[:-1])
    yield refused("without its tag", "malformed", good[:-22])
    yield refused("no coupon", "malformed", spelled(reservation_body(one, count=0)[:31] + bytes(16)))
    yield refused("33 coupons", "malformed", signed_reservation(reservation_body(*many, one)))
    yield refused("a token as a reservation id", "malformed", Draft().text())
    yield refused("version 2", "version", signed_reservation(reservation_body(one, version=2)))
    yield refused("reserved flag", "flags", signed_reservation(reservation_body(one, flags=2)))
    yield refused("presented to another program", "tag", good, program="shop2")
    yield refused("presented in another environment", "tag", good, keyset="staging")
    yield refused("zero tag", "tag", spelled(reservation_body(one) + bytes(16)))
    other = signed_reservation(reservation_body(one), label=b"redemption/v1/settlement")
    yield refused("signed with the settlement's label", "tag", other)
    longer = reservation_body(one, held_until=NOT_BEFORE + 90_000)
    yield refused("held for longer", "tag", spelled(longer + signed_bytes(good)[-16:]))
    yield refused("more coupons announced than given", "fields", signed_reservation(reservation_body(one, count=2)))
    yield refused(
        "key of another coupon",
        "fields",
        signed_reservation(reservation_body(one, key_id=KEY_IDS["CREATED"]), "CREATED"),
    )
    yield refused("a guest with a customer", "fields", signed_reservation(reservation_body(one, customer=customer)))
    yield refused("reserved flag of a coupon", "fields", signed_reservation(reservation_body(one, coupon_flags=2)))
    impossible = {
        "cell set": reserved_coupon(1 << 40),
        "a discount of 2^53": reserved_coupon(discount_minor=2**53),
        "an order of 2^53": reserved_coupon(order_value_minor=2**53),
        "merchants pay more than the discount": reserved_coupon(merchant_minor=5001),
    }
    for name, coupon in impossible.items():
        yield refused(name, "fields", signed_reservation(reservation_body(coupon)))


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
