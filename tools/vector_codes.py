"""Vectors of exchange codes: codes made from a key and a serial, and codes as people type them."""

from collections.abc import Iterator

from vector_basis import ENVIRONMENT, KEY_IDS, PROGRAM, U32, U40, Vector, material
from verify_token import hkdf, mac, pae, utf8

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"


def code_text(code: bytes) -> str:
    """A code as people read it."""
    number = int.from_bytes(code, "big")
    characters = ""
    for _ in range(16):
        number, value = divmod(number, 32)
        characters = ALPHABET[value] + characters
    return "-".join((characters[0:4], characters[4:8], characters[8:12], characters[12:16]))


def made(
    name: str, *, state: str = "PRIMARY", program: str = PROGRAM, campaign: int = 7, serial: int = 123_456_789
) -> Vector:
    """The code of one serial, with all its inputs."""
    key_id = KEY_IDS[state]
    place = (utf8(ENVIRONMENT), utf8(program), key_id.to_bytes(4, "big"), campaign.to_bytes(4, "big"))
    key = hkdf(material(state), pae(b"redemption/v1/code", *place))
    code = mac(key, pae(b"redemption/v1/code-bytes", serial.to_bytes(6, "big")))[:10]
    where = {"key_id": key_id, "program": program, "campaign": campaign, "serial": serial}
    return {"name": name, **where, "code_key": key.hex(), "code": code.hex(), "text": code_text(code)}


def codes() -> Iterator[Vector]:
    """Codes that differ in one input each: every input must change the code."""
    yield made("worked example")
    yield made("the next serial", serial=123_456_790)
    yield made("the first serial", serial=0)
    yield made("the last serial", serial=U40)
    yield made("another program", program="shop2")
    yield made("a program that is not ASCII", program="\u7a0b\u5e8f")
    yield made("another campaign", campaign=8)
    yield made("the largest campaign number", campaign=U32)
    yield made("another key", state="VERIFY_ONLY")
    yield made("a disabled key", state="DISABLED")


def typed() -> Iterator[Vector]:
    """Texts as people type them, each with the code's bytes, or with nothing if it is not a code."""

    def read(name: str, text: str, code: str) -> Vector:
        return {"name": name, "typed": text, "code": code}

    def refused(name: str, text: str) -> Vector:
        return {"name": name, "typed": text, "code": None}

    whole = made("")["text"]
    code = made("")["code"]
    yield read("as it is written", whole, code)
    yield read("in lower case", whole.lower(), code)
    yield read("without hyphens", whole.replace("-", ""), code)
    yield read("with spaces", f" {whole.replace('-', ' ')}  ", code)
    yield read("every character by itself", " - ".join(whole.replace("-", "")), code)
    yield read("I and L for 1, O for 0", "ILil-OOoo-1111-0000", "08421000000842100000")
    yield read("the smallest", "0000-0000-0000-0000", "00" * 10)
    yield read("the largest", "zzzz-zzzz-zzzz-zzzz", "ff" * 10)
    yield refused("nothing", "")
    yield refused("15 characters", whole[:-1])
    yield refused("17 characters", whole + "0")
    yield refused("hyphens alone", "-" * 16)
    yield refused("U, which is no letter of a code", "U" + whole[1:])
    yield refused("u", whole[:-1] + "u")
    yield read("a trailing line end", whole + "\r\n", code)
    yield read("a trailing tab", whole + "\t", code)
    yield read("tabs", whole.replace("-", "\t"), code)
    yield read("in full width", "".join(chr(ord(character) + 0xFEE0) for character in whole), code)
    yield read("in full width and lower case", "".join(chr(ord(each) + 0xFEE0) for each in whole.lower()), code)
    for about, character in (
        ("hyphens", "\u2010"),
        ("hyphens that do not break", "\u2011"),
        ("en dashes", "\u2013"),
        ("em dashes", "\u2014"),
        ("horizontal bars", "\u2015"),
        ("minus signs", "\u2212"),
        ("small hyphens", "\ufe63"),
        ("soft hyphens", "\u00ad"),
        ("spaces that do not break", "\u00a0"),
        ("thin spaces", "\u2009"),
        ("ideographic spaces", "\u3000"),
        ("zero-width spaces", "\u200b"),
        ("zero-width joiners", "\u200d"),
        ("word joiners", "\u2060"),
        ("marks of the direction", "\u200e"),
        ("line separators", "\u2028"),
        ("variation selectors", "\ufe0f"),
    ):
        yield read(f"{about} (U+{ord(character):04X})", whole.replace("-", character), code)
    yield read("a byte order mark", "\ufeff" + whole, code)
    yield read("circled digits and a long s", "\u2460" * 15 + "\u017f", "08421084210842108439")
    yield read("a Kelvin sign, whose NFKC is K", "\u212a" + "0" * 15, "98000000000000000000")
    yield refused("NUL", whole.replace("-", "\0"))
    yield refused("an underscore", whole.replace("-", "_"))
    yield refused("a tilde", whole.replace("-", "~"))
    yield refused("an Arabic digit", "\u0660" + "0" * 15)
    yield refused("a Cyrillic letter that looks like A", "\u0410" + "0" * 15)
    yield refused("a dotless i, whose capital is I", "\u0131" + "0" * 15)
    yield refused("an accent", whole + "\u0301")
    yield refused("a ligature of 18 letters, 64 times", "\ufdfa" * 64)
    yield refused("a token", "AQEaKzxNAAAABwACaOd4AGkPBQAAAAdbzRV1ZPnzG28lWnIODQxgBtuZ7TI_Q4OX")
    yield refused("more than 64 characters", whole + " " * 64)
