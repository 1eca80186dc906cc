"""48 bytes as 64 characters: one spelling, and no other is read."""

import base64

from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.base64url import armor, unarmor

RAW = st.binary(min_size=48, max_size=48)


@given(RAW)
def test_what_is_armored_is_read_back(raw):
    text = armor(raw)
    assert text == base64.urlsafe_b64encode(raw).decode()
    assert unarmor(text) == raw


@given(st.text(alphabet="AZaz09-_+/=\n \u0661\ud800", min_size=60, max_size=68))
def test_a_text_is_read_only_if_armor_would_write_it(text):
    raw = unarmor(text)
    assert raw is None or armor(raw) == text
