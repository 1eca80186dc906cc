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
        ("SKU-1", None),
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
