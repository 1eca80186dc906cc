"""Vectors of exchange codes: codes made from a key and a serial, and codes as people type them."""

from collections.abc import Iterator

from vector_basis import ENVIRONMENT, KEY_IDS, PROGRAM, U32, U40, Vector, material
from verify_code import ALPHABET, code_text
from verify_token import hkdf, mac, pae, utf8


def made(
    name: str, *, state: str = "PRIMARY", program: str = PROGRAM, campaign: int = 7, serial: int = 123_456_789
) -> Vector:
    """The code of one serial, with all its inputs."""
    key_id = KEY_IDS[state]
    place = (utf8(ENVIRONMENT), utf8(program), key_id.to_bytes(4, "big"), campaign.to_bytes(4, "big"))
    key = hkdf(material(state), pae(b"redemption/v1/code", *place))
    code = mac(key, pae(b"redemption/v1/code-bytes", serial.to_bytes(6, "big")))[:10]
    where = {"key_id": key_id, "program": program, "campaign": campaign, "serial": serial}
    texts = {"text": code_text(code), "older_text": code_text(code)[:-1]}
    return {"name": name, **where, "code_key": key.hex(), "code": code.hex(), **texts}


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
    """Texts as people type them, each with the code's bytes, or with the reason why it is not a code."""
    yield from codes_as_typed()
    yield from mistyped()
    yield from not_codes()


def read(name: str, text: str, code: str) -> Vector:
    """A text that is a code."""
    return {"name": name, "typed": text, "code": code, "reason": None}


def refused(name: str, text: str, reason: str) -> Vector:
    """A text that is not a code."""
    return {"name": name, "typed": text, "code": None, "reason": reason}


def codes_as_typed() -> Iterator[Vector]:
    """Every way of writing a code, with its check character and without."""
    whole, older, code = made("")["text"], made("")["older_text"], made("")["code"]
    full = {ord(character): ord(character) + 0xFEE0 for character in whole + whole.lower()}
    yield read("as it is written", whole, code)
    yield read("in lower case", whole.lower(), code)
    yield read("without hyphens", whole.replace("-", ""), code)
    yield read("with spaces", f" {whole.replace('-', ' ')}  ", code)
    yield read("every character by itself", " -".join(whole.replace("-", "")), code)
    yield read("in full width", whole.translate(full), code)
    yield read("in full width and lower case", whole.lower().translate(full), code)
    yield read("a trailing line end", whole + "\r\n", code)
    yield read("a trailing tab", whole + "\t", code)
    yield read("tabs", whole.replace("-", "\t"), code)
    yield read("as it was written before there were check characters", older, code)
    yield read("16 characters in lower case", older.lower(), code)
    yield read("16 characters in full width", older.translate(full), code)
    yield read("I and L for 1, O for 0", "ILil-OOoo-1111-0000k", "08421000000842100000")
    yield read("I and L for 1, O for 0, 16 characters", "ILil-OOoo-1111-0000", "08421000000842100000")
    yield read("the smallest", "0000-0000-0000-00000", "00" * 10)
    yield read("O alone", "O" * 17, "00" * 10)
    yield read("the smallest, 16 characters", "0000-0000-0000-0000", "00" * 10)
    yield read("the largest", "zzzz-zzzz-zzzz-zzzzm", "ff" * 10)
    yield read("the largest, 16 characters", "zzzz-zzzz-zzzz-zzzz", "ff" * 10)
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


def mistyped() -> Iterator[Vector]:
    """Typing mistakes, and two that are not noticed."""
    whole, older, code = made("")["text"], made("")["older_text"], made("")["code"]

    def wrong(name: str, text: str) -> Vector:
        return refused(name, text, "mistyped")

    plain = whole.replace("-", "")
    for place, was in enumerate(plain):
        other = ALPHABET[(ALPHABET.index(was) + 1) % len(ALPHABET)]
        yield wrong(f"{other} for {was}, character {place + 1}", plain[:place] + other + plain[place + 1 :])
    for was, other in (("Y3", "Y8"), ("NS", "N5"), ("2M", "ZM"), ("GY", "6Y"), ("JN", "JM"), ("XJ", "KJ")):
        yield wrong(f"{other} for {was}", plain.replace(was, other, 1))
    for place in range(16):
        one, other = plain[place : place + 2]
        if one != other:
            swapped = plain[:place] + other + one + plain[place + 2 :]
            yield wrong(f"characters {place + 1} and {place + 2} swapped", swapped)
    yield wrong("the first and the last character swapped", plain[-1] + plain[1:-1] + plain[0])
    yield wrong("characters 5 and 13 swapped", plain[:4] + plain[12] + plain[5:12] + plain[4] + plain[13:])
    yield wrong("two groups swapped", "-".join(whole.split("-")[place] for place in (0, 2, 1, 3)))
    yield wrong("in full width, one wrong", "".join(chr(ord(each) + 0xFEE0) for each in "Y" + plain[1:]))
    yield wrong("in lower case, one wrong", "y" + plain[1:].lower())
    yield wrong("one wrong, with dashes of another kind", "Y" + whole[1:].replace("-", "\u2013"))
    yield wrong("0 for 1 as I", "OLil-OOoo-1111-0000k")
    yield wrong("U for V, or V for U: no code has U", "U" + whole[1:])
    yield wrong("u", whole[:-1] + "u")
    yield wrong("U in full width", "\uff35" + whole[1:])
    yield wrong("U among 16 characters", "U" + older[1:])
    yield wrong("18 characters: one is doubled", whole[:1] + whole)
    yield wrong("18 characters: the check character is doubled", whole + whole[-1])
    yield wrong("17 characters: a code of before, with one doubled", older + older[-1])
    yield wrong("15 characters: a code of before, with one missing", older[:-1])
    yield wrong("15 characters: two are missing", whole[:-2])
    # Of the 31 wrong values of a second character, one makes up for the first mistake.
    yield read("two wrong characters that make up for each other", "00000000000000012", "00000000000000000001")
    yield read("a missing character: 16 characters are a code of before", plain[1:], shifted(code, plain[-1]))


def shifted(code: str, last: str) -> str:
    """The bytes of a code without its first character and with another last one."""
    number = int(code, 16) << 5 & 2**80 - 1 | ALPHABET.index(last)
    return f"{number:020x}"


def not_codes() -> Iterator[Vector]:
    """What does not look like a code."""
    whole = made("")["text"]

    def foreign(name: str, text: str) -> Vector:
        return refused(name, text, "not_a_code")

    yield foreign("nothing", "")
    yield foreign("a word", "welcome")
    yield foreign("14 characters", whole[:-3].replace("-", "")[:14])
    yield foreign("19 characters", whole + "00")
    yield foreign("hyphens alone", "-" * 17)
    yield foreign("NUL", whole.replace("-", "\0"))
    yield foreign("an underscore", whole.replace("-", "_"))
    yield foreign("a tilde", whole.replace("-", "~"))
    yield foreign("a full stop at the end", whole + ".")
    yield foreign("an Arabic digit", "\u0660" + "0" * 16)
    yield foreign("a Cyrillic letter that looks like A", "\u0410" + "0" * 16)
    yield foreign("a dotless i, whose capital is I", "\u0131" + "0" * 16)
    yield foreign("an accent", whole + "\u0301")
    yield foreign("a ligature of 18 letters, 64 times", "\ufdfa" * 64)
    yield foreign("a token", "AQEaKzxNAAAABwACaOd4AGkPBQAAAAdbzRV1ZPnzG28lWnIODQxgBtuZ7TI_Q4OX")
    yield foreign("more than 64 characters", whole + " " * 64)
