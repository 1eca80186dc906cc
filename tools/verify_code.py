#!/usr/bin/env python3
"""Check one exchange code as it was typed: an independent implementation of docs/token.md, standard library only.

It shares no code with the service, so the two can be compared. It needs no keyset: it reads the text and its check
character, and does not know whether the code was ever minted.

    tools/verify_code.py CODE

Exit code 0: it is a code (its bytes and its spelling are printed). 1: refused (the reason is printed).
"""

import argparse
import string
import sys
import unicodedata

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
TYPED_LENGTH_MAX = 64
SKIPPED_KINDS = {"Zs", "Zl", "Zp", "Pd", "Cf"}
SKIPPED = set("\t\n\v\f\r\x85\u2212") | {chr(number) for number in range(0xFE00, 0xFE10)}
POLYNOMIAL = 0b100101
A = 0b00010


def times(one: int, other: int) -> int:
    """The product of two elements of the field: as polynomials, and the remainder by x^5 + x^2 + 1."""
    product = 0
    for place in range(5):
        if other >> place & 1:
            product ^= one << place
    for place in range(8, 4, -1):
        if product >> place & 1:
            product ^= POLYNOMIAL << place - 5
    return product


def power(exponent: int) -> int:
    """A to this power."""
    return times(A, power(exponent - 1)) if exponent else 1


def check_value(values: list[int]) -> int:
    """The value of the check character of 16 values."""
    total = 0
    for place, value in enumerate(values):
        total ^= times(power(16 - place), value)
    return total


def code_text(code: bytes) -> str:
    """A code as people read it, with its check character."""
    bits = f"{int.from_bytes(code, 'big'):080b}"
    values = [int(bits[start : start + 5], 2) for start in range(0, 80, 5)]
    text = "".join(ALPHABET[value] for value in [*values, check_value(values)])
    return f"{text[:4]}-{text[4:8]}-{text[8:12]}-{text[12:]}"


def read_code(typed: str) -> bytes | str:
    """The 10 bytes of a code, or the reason why the text is none: `not_a_code` or `mistyped`."""
    if len(typed) > TYPED_LENGTH_MAX:
        return "not_a_code"
    normal = unicodedata.normalize("NFKC", typed)
    seen = [each for each in normal if each not in SKIPPED and unicodedata.category(each) not in SKIPPED_KINDS]
    if not set(seen) <= set(string.ascii_letters + string.digits) or len(seen) not in range(15, 19):
        return "not_a_code"
    text = "".join(seen).upper().translate(str.maketrans("ILO", "110"))
    if "U" in text or len(text) not in (16, 17):
        return "mistyped"
    values = [ALPHABET.index(each) for each in text]
    if values[16:] not in ([], [check_value(values[:16])]):
        return "mistyped"
    return int("".join(f"{value:05b}" for value in values[:16]), 2).to_bytes(10, "big")


def main(arguments: list[str] | None = None) -> int:
    """Run the command; return its exit code."""
    parser = argparse.ArgumentParser(description="Check one exchange code as it was typed, without a keyset.")
    parser.add_argument("code", help="17 characters, or the 16 of before, in any grouping")
    result = read_code(parser.parse_args(arguments).code)
    if isinstance(result, str):
        print(f"refused: {result}")
        return 1
    print(f"code: {result.hex()}")
    print(f"text: {code_text(result)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
