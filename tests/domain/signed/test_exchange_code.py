"""Exchange codes: always made the same, read however they are typed, and nothing else is taken for a code."""

import string
import unicodedata
from itertools import combinations, zip_longest

import pytest
from builders.vectors import KEYSETS, vectors_of
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed import exchange_code
from redemption.domain.signed.exchange_code import TYPED_LENGTH_MAX, Codes, Misread, read_code, write_code
from redemption.domain.signed.keyset import KeyState
from redemption.domain.signed.signing import SigningError

KEYSET = KEYSETS["main"]
DOCUMENT = vectors_of("code")
LETTERS = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
WRITTEN = {"0": "0Oo", "1": "1IiLl"}
CODES = st.binary(min_size=10, max_size=10)


def key_of(state):
    return next(key for key in KEYSET.keys if key.state is state)


def values_of(code):
    """The values of a code's 17 characters."""
    return [LETTERS.index(letter) for letter in write_code(code).replace("-", "")]


def text_of(values):
    return "".join(LETTERS[value] for value in values)


@pytest.mark.parametrize("vector", DOCUMENT["codes"], ids=lambda vector: vector["name"])
def test_codes_are_made_as_the_vectors_say(vector):
    codes = Codes(KEYSET).campaign(program=vector["program"], campaign=vector["campaign"], key_id=vector["key_id"])
    code = codes.code(vector["serial"])
    assert code.hex() == vector["code"]
    assert write_code(code) == vector["text"]
    assert read_code(vector["text"]) == read_code(vector["older_text"]) == code


def test_no_two_places_make_the_same_code():
    made = [vector["code"] for vector in DOCUMENT["codes"]]
    assert len(set(made)) == len(made)


@pytest.mark.parametrize("vector", DOCUMENT["typed"], ids=lambda vector: vector["name"])
def test_what_is_typed_is_read_as_the_vectors_say(vector):
    read = read_code(vector["typed"])
    if vector["code"] is None:
        assert read is Misread(vector["reason"])
    else:
        assert read.hex() == vector["code"]


@given(CODES, st.data())
def test_every_code_is_read_back_however_it_is_typed(code, data):
    text = write_code(code)
    assert [len(group) for group in text.split("-")] == [4, 4, 4, 5]
    assert set(text) <= set(LETTERS + "-")
    typed = ""
    for letter in data.draw(st.sampled_from([text, text[:-1]])).replace("-", ""):
        ways = WRITTEN.get(letter, letter + letter.lower())
        typed += data.draw(st.sampled_from(ways)) + data.draw(st.sampled_from(["", "-", " ", "- ", "\u2013", "\u200b"]))
    assert read_code(typed) == code


@pytest.mark.parametrize("text", ["\ud800" * 16, "0" * 15 + "\udfff"])
def test_what_is_no_text_at_all_is_no_code(text):
    assert read_code(text) is Misread.NOT_A_CODE


@given(CODES)
def test_every_single_wrong_character_is_noticed(code):
    values = values_of(code)
    for place, value in enumerate(values):
        for wrong in set(range(32)) - {value}:
            assert read_code(text_of([*values[:place], wrong, *values[place + 1 :]])) is Misread.MISTYPED


@given(CODES)
def test_every_swap_of_two_different_characters_is_noticed(code):
    """Neighbours or not."""
    values = values_of(code)
    for one, other in combinations(range(17), 2):
        swapped = list(values)
        swapped[one], swapped[other] = values[other], values[one]
        assert read_code(text_of(swapped)) == (code if swapped == values else Misread.MISTYPED)


@given(CODES)
def test_a_code_without_its_check_character_is_the_same_code(code):
    assert read_code(write_code(code)[:-1]) == code


@given(CODES, st.integers(0, 16))
def test_a_doubled_character_is_noticed(code, place):
    text = write_code(code).replace("-", "")
    assert read_code(text[: place + 1] + text[place:]) is Misread.MISTYPED


@given(CODES, st.integers(0, 15))
def test_a_missing_character_makes_a_code_of_before(code, place):
    """Of such codes nobody can see that a character is missing, but in a code of before it is seen."""
    text = write_code(code).replace("-", "")
    assert isinstance(read_code(text[:place] + text[place + 1 :]), bytes)
    assert read_code(text[:place] + text[place + 1 : -1]) is Misread.MISTYPED


@given(st.text(max_size=80))
def test_no_text_raises_and_nothing_foreign_is_read(text):
    read = read_code(text)
    if read is not Misread.NOT_A_CODE:
        assert len(text) <= TYPED_LENGTH_MAX
        seen = {character for character in unicodedata.normalize("NFKC", text) if character.isalnum()}
        assert seen <= set(string.ascii_letters + string.digits)
        assert read is Misread.MISTYPED or not seen & set("Uu")


@given(st.lists(st.characters(categories=["Zs", "Zl", "Zp", "Pd", "Cf"]), max_size=47))
def test_blanks_dashes_and_what_nobody_sees_make_no_difference(skipped):
    typed = "".join(
        f"{letter}{character}" for letter, character in zip_longest("XJNHGY35A455YNS2M", skipped[:17], fillvalue="")
    )
    assert read_code(typed + "".join(skipped[17:])) == read_code("XJNH-GY35-A455-YNS2M")


def test_a_long_text_is_refused_before_it_is_normalised(monkeypatch):
    monkeypatch.setattr(exchange_code, "unicodedata", None)
    assert read_code("\ufdfa" * 1_000_000) is Misread.NOT_A_CODE


@given(st.integers(0, 2**80 - 1), st.integers(0, 2**80 - 1))
def test_different_codes_are_written_differently(one, other):
    texts = [write_code(number.to_bytes(10)) for number in (one, other)]
    assert (texts[0] == texts[1]) == (one == other)


def test_a_destroyed_or_unknown_key_makes_no_codes():
    for key_id in (key_of(KeyState.DESTROYED).id, 77):
        with pytest.raises(SigningError, match="destroyed or unknown"):
            Codes(KEYSET).campaign(program="shop", campaign=7, key_id=key_id)


@pytest.mark.parametrize("serial", [-1, 2**40])
def test_a_serial_that_cannot_be_has_no_code(serial):
    codes = Codes(KEYSET).campaign(program="shop", campaign=7, key_id=KEYSET.primary.id)
    with pytest.raises(SigningError, match="serial"):
        codes.code(serial)


def test_derived_keys_are_kept_for_a_bounded_number_of_campaigns():
    codes = Codes(KEYSET, cache_size=2)
    first = codes.campaign(program="shop", campaign=1, key_id=KEYSET.primary.id)
    assert codes.campaign(program="shop", campaign=1, key_id=KEYSET.primary.id) is first
    for campaign in (2, 3):
        codes.campaign(program="shop", campaign=campaign, key_id=KEYSET.primary.id)
    again = codes.campaign(program="shop", campaign=1, key_id=KEYSET.primary.id)
    assert again is not first
    assert again.code(9) == first.code(9)
