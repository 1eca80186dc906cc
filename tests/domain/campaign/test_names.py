"""Which names look the same, and which characters nobody sees."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.campaign.names import appearance, unseen_character


@pytest.mark.parametrize(
    "other",
    [
        "满200减50 ",
        "满200 减50",
        "满２００减５０",
        "满200\u3000减50",
        "满200\u00a0减50",
        "满200\u200b减50",
        "\ufeff满200减50",
        "满200减50\ufe0f",
        "满200\u034f减50\ufff0\U000e0000",
    ],
)
def test_names_that_look_the_same_have_one_appearance(other):
    assert appearance(other) == appearance("满200减50")


@pytest.mark.parametrize(
    ("one", "other"),
    [("Café", "Cafe\u0301"), ("SALE", "Sale"), ("ﬁn", "fin"), ("Straße", "STRASSE"), ("A B", "ab")],
)
def test_case_forms_and_composition_make_no_difference(one, other):
    assert appearance(one) == appearance(other)


@pytest.mark.parametrize(("one", "other"), [("满200减50", "满200减60"), ("8折", "85折"), ("a-b", "a_b"), ("é", "e")])
def test_names_that_people_can_tell_apart_differ(one, other):
    assert appearance(one) != appearance(other)


@given(st.text(max_size=20))
def test_how_a_name_is_composed_makes_no_difference(name):
    assert appearance(unicodedata.normalize("NFD", name)) == appearance(unicodedata.normalize("NFC", name))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a\u200bb", (2, "U+200B ZERO WIDTH SPACE")),
        ("\ufeffa", (1, "U+FEFF ZERO WIDTH NO-BREAK SPACE")),
        ("a\u00ad", (2, "U+00AD SOFT HYPHEN")),
        ("口\u200d红", (2, "U+200D ZERO WIDTH JOINER")),
        ("a\u200cb", (2, "U+200C ZERO WIDTH NON-JOINER")),
        ("\u3164", (1, "U+3164 HANGUL FILLER")),
        ("a\u2028b", (2, "U+2028 LINE SEPARATOR")),
        ("\ufe0fa", (1, "U+FE0F VARIATION SELECTOR-16")),
        ("a\u034fb", (2, "U+034F COMBINING GRAPHEME JOINER")),
        ("a\u17b5", (2, "U+17B5 KHMER VOWEL INHERENT AA")),
        ("a\u180e", (2, "U+180E MONGOLIAN VOWEL SEPARATOR")),
        ("\u180ba", (1, "U+180B MONGOLIAN FREE VARIATION SELECTOR ONE")),
        ("a\u2065", (2, "U+2065")),
        ("a\ufff0", (2, "U+FFF0")),
        ("a\U000e0000", (2, "U+E0000")),
        ("a\U0001d159", (2, "U+1D159 MUSICAL SYMBOL NULL NOTEHEAD")),
        ("a\ufffe", (2, "U+FFFE")),
        ("a\ufdd0", (2, "U+FDD0")),
        ("SKU-1", None),
        ("ᠮᠣᠩ\u180bᠭᠣᠯ", None),
        ("满 200", None),
        ("👨\u200d👩\u200d👧 家庭装", None),
        ("❤️", None),
        ("\u0645\u06cc\u200c\u062e", None),
        ("क्\u200dष", None),
    ],
)
def test_a_character_that_nobody_sees_is_found(text, found):
    """A joiner between pictures, or behind a letter of a script that joins, is needed."""
    assert unseen_character(text) == found
