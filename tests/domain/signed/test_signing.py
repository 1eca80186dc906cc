"""Secrets that are never shown, key derivation, and prepared tags."""

import hashlib
import hmac
import logging
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.pae import pae
from redemption.domain.signed.signing import Mac, Secret, SigningError, require_range, require_text

VALUE = bytes(range(32))


def test_no_printing_shows_a_secret():
    secret = Secret(VALUE)
    shown = [repr(secret), str(secret), f"{secret}", repr([secret]), repr(secret.derive(b"x"))]
    record = logging.LogRecord("log", logging.INFO, __file__, 1, "%s", (secret,), None)
    assert {*shown, record.getMessage()} == {"Secret(redacted)", "[Secret(redacted)]"}


def test_a_traceback_does_not_show_a_secret():
    with pytest.raises(ValueError, match="32 bytes") as caught:
        Secret(VALUE[:-1])
    assert VALUE[:8].hex() not in "".join(traceback.format_exception(caught.value))


def test_secrets_compare_by_value_and_have_no_hash():
    assert Secret(VALUE) == Secret(VALUE)
    assert Secret(VALUE) != Secret(VALUE[::-1])
    assert Secret(VALUE) != VALUE
    with pytest.raises(TypeError):
        hash(Secret(VALUE))


def test_derive_is_hkdf_without_salt():
    """Written out by hand from RFC 5869."""
    extracted = hmac.digest(bytes(32), VALUE, "sha256")
    expected = hmac.digest(extracted, pae(b"label", b"detail") + b"\x01", "sha256")
    assert Secret(VALUE).derive(b"label", b"detail").reveal() == expected


@given(st.binary(max_size=200), st.binary(max_size=200))
def test_a_primed_mac_is_hmac_over_prefix_and_message(prefix, message):
    mac = Mac(Secret(VALUE), prefix)
    expected = hmac.new(VALUE, prefix + message, hashlib.sha256).digest()
    assert [mac.digest(message), mac.digest(message)] == [expected, expected]


@pytest.mark.parametrize(("value", "fine"), [(-1, False), (0, True), (9, True), (10, False)])
def test_require_range_includes_both_ends(value, fine):
    if fine:
        require_range("serial", value, 9)
    else:
        with pytest.raises(SigningError, match=r"serial is -?\d+; it must be between 0 and 9"):
            require_range("serial", value, 9)


@pytest.mark.parametrize("text", ["", "x" * 129, "é" * 65, "\ud800", "a\udfffb"])
def test_require_text_refuses_without_quoting(text):
    with pytest.raises(SigningError, match="customer_id") as caught:
        require_text("customer_id", text)
    assert not text or text not in str(caught.value)


@pytest.mark.parametrize("text", ["x", "x" * 128, "é" * 64, "\0", "\U0001f600"])
def test_require_text_gives_exact_bytes(text):
    assert require_text("customer_id", text) == text.encode()
