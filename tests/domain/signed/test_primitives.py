"""HMAC and HKDF are those of the RFCs: their published vectors, and the bounds of their arguments."""

import pytest
from builders.vectors import vectors_of

from redemption.domain.signed.primitives import HKDF_LENGTH_MAX, hkdf, hmac, hmac_begun
from redemption.domain.signed.signing import Mac, Secret

HMACS = vectors_of("rfc4231")["vectors"]
HKDFS = vectors_of("rfc5869")["vectors"]


def by_name(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


@by_name(HMACS)
def test_hmac_is_that_of_rfc_4231(vector):
    """Whole, and begun with any part of the message: that is how a prepared tag is made."""
    key, data = bytes.fromhex(vector["key"]), bytes.fromhex(vector["data"])
    expected = bytes.fromhex(vector["hmac"])
    assert hmac(key, data)[: len(expected)] == expected
    for length in range(len(data)):
        running = hmac_begun(key, data[:length]).copy()
        running.update(data[length:])
        assert running.finalize()[: len(expected)] == expected


@by_name(HKDFS)
def test_hkdf_is_that_of_rfc_5869(vector):
    material, salt, info = (bytes.fromhex(vector[name]) for name in ("material", "salt", "info"))
    assert hkdf(material, info, vector["length"], salt=salt or None).hex() == vector["output"]
    assert hkdf(material, info, vector["length"], salt=salt).hex() == vector["output"], "an empty salt is none"


@pytest.mark.parametrize("length", [1, 32, 33, HKDF_LENGTH_MAX])
def test_a_shorter_output_is_the_beginning_of_a_longer_one(length):
    assert hkdf(b"material", b"info", length) == hkdf(b"material", b"info", HKDF_LENGTH_MAX)[:length]


@pytest.mark.parametrize("length", [-1, 0, HKDF_LENGTH_MAX + 1])
def test_a_length_that_hkdf_cannot_give_is_refused(length):
    with pytest.raises(ValueError, match=f"length is {length}; HKDF-SHA-256 gives 1 to 8160 bytes"):
        hkdf(b"material", b"info", length)


def test_secrets_and_prepared_tags_are_made_with_them():
    """What signs is the same function that the vectors test."""
    secret = Secret(bytes(range(32)))
    info = bytes.fromhex("0100000000000000 0500000000000000") + b"label"
    derived = secret.derive(b"label")
    assert derived.reveal() == hkdf(secret.reveal(), info, 32)
    assert Mac(derived, b"prefix ").digest(b"message") == hmac(derived.reveal(), b"prefix message")
