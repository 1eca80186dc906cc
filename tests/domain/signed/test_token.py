"""Tokens: what is signed verifies, and nothing else does, whatever the text."""

import copy
import dataclasses
import pickle
import secrets

import pytest
from builders.keysets import keyset_of, rotated
from builders.times import NOW
from builders.tokens import sign_token, signer
from builders.vectors import KEYSETS, vectors_of
from hypothesis import example, given
from hypothesis import strategies as st
from interpreted import COUNTS_CALLS

from redemption.domain.signed import signing
from redemption.domain.signed.base64url import armor, unarmor
from redemption.domain.signed.keyset import KEY_LIFE_SECONDS_MAX, KeyState
from redemption.domain.signed.signing import SigningError
from redemption.domain.signed.token import (
    TOKEN_LIFE_SECONDS_MAX,
    TokenDefect,
    TokenVerifier,
    VerifiedToken,
)

SHOP = "shop"
KEYSET = keyset_of()
VERIFIER = TokenVerifier(KEYSET)
FIELDS = {
    "campaign": 7,
    "offer_index": 2,
    "serial": 123_456_789,
    "not_before": NOW,
    "expires_at": NOW + 86_400,
    "now": NOW,
}
VERIFIERS = {name: TokenVerifier(keyset) for name, keyset in KEYSETS.items()}
VECTOR_FILE = vectors_of("token")


def sign(keyset=KEYSET, program=SHOP, **changed):
    return sign_token(keyset, program=program, **(FIELDS | changed))


def verified(text, verifier=VERIFIER, program=SHOP):
    token = verifier.verify(text, program=program)
    assert isinstance(token, VerifiedToken)
    return token


def flipped(text, bit):
    raw = int.from_bytes(unarmor(text)) ^ (1 << bit)
    return armor(raw.to_bytes(48))


def by_name(vectors):
    return pytest.mark.parametrize("vector", vectors, ids=[vector["name"] for vector in vectors])


@by_name(VECTOR_FILE["golden"])
def test_golden_vector(vector):
    token = VERIFIERS["main"].verify(vector["text"], program=SHOP)
    expected = vector["token"] | {"program": SHOP, "holder_tag": bytes.fromhex(vector["token"]["holder_tag"])}
    outlives = token.expires_at > KEYSETS["main"].primary.max_expires_at
    assert dataclasses.asdict(token) == expected | {"outlives_key": outlives}


@by_name(VECTOR_FILE["key_lives"])
def test_key_life_vector(vector):
    """The tag is correct, so it verifies; the service refuses what its own signer would not have signed."""
    assert verified(vector["text"], VERIFIERS["main"]).outlives_key is vector["outlives_key"]


@by_name(VECTOR_FILE["hostile"])
def test_hostile_vector(vector):
    verifier = VERIFIERS[vector.get("keyset", "main")]
    text = vector["text"] * vector.get("repeat", 1)
    assert verifier.verify(text, program=vector.get("program", SHOP)) is TokenDefect(vector["defect"])


@by_name(VECTOR_FILE["holders"])
def test_holder_vector(vector):
    token = verified(vector["text"], VERIFIERS["main"])
    assert VERIFIERS["main"].holder_matches(token, vector["customer_id"]) is vector["matches"]


@pytest.mark.parametrize("vector", VECTOR_FILE["times"], ids=[vector["at"] for vector in VECTOR_FILE["times"]])
def test_time_vector(vector):
    """The rule is the caller's; the vectors pin which end is open."""
    token = verified(vector["text"], VERIFIERS["main"])
    began, over = token.not_before <= vector["at"], token.expires_at <= vector["at"]
    assert ("expired" if over else "valid" if began else "not_yet_valid") == vector["state"]


def test_the_vectors_meet_every_defect():
    assert {vector["defect"] for vector in VECTOR_FILE["hostile"]} == set(TokenDefect)


@given(
    campaign=st.integers(0, 2**32 - 1),
    offer_index=st.integers(0, 2**16 - 1),
    serial=st.integers(0, 2**40 - 1),
    not_before=st.integers(0, NOW),
    life=st.integers(1, TOKEN_LIFE_SECONDS_MAX),
    customer_id=st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=32),
    shared=st.booleans(),
    program=st.text(st.characters(codec="utf-8"), min_size=1, max_size=32),
)
def test_what_is_signed_is_read_back(*, campaign, offer_index, serial, not_before, life, customer_id, shared, program):
    text = sign_token(
        KEYSET,
        program=program,
        campaign=campaign,
        offer_index=offer_index,
        serial=serial,
        not_before=not_before,
        expires_at=NOW + life,
        now=NOW,
        customer_id=customer_id,
        shared=shared,
    )
    token = verified(text, program=program)
    assert len(text) == 64
    assert (token.program, token.key_id, token.key_usable) == (program, KEYSET.primary.id, True)
    assert (token.campaign, token.offer_index, token.serial) == (campaign, offer_index, serial)
    assert (token.not_before, token.expires_at) == (not_before, NOW + life)
    assert (token.holder_bound, token.shared) == (customer_id is not None, shared)
    assert customer_id is None or VERIFIER.holder_matches(token, customer_id)
    assert not VERIFIER.holder_matches(token, f"{customer_id}x")


@pytest.mark.parametrize("customer_id", [None, "customer-42"])
def test_every_flip_of_a_single_bit_is_refused(customer_id):
    text = sign(customer_id=customer_id)
    assert isinstance(VERIFIER.verify(text, program=SHOP), VerifiedToken)
    accepted = [
        bit for bit in range(384) if isinstance(VERIFIER.verify(flipped(text, bit), program=SHOP), VerifiedToken)
    ]
    assert accepted == []


@given(st.text())
@example("\ud800" * 64)
@example("A" * 64)
@example("AQ" + "\ud800" * 62)
@example("AQ" + "A" * 62)
def test_no_text_raises_and_none_that_was_not_signed_is_accepted(text):
    assert isinstance(VERIFIER.verify(text, program=SHOP), TokenDefect)


@given(
    st.binary(min_size=46, max_size=46),
    st.sampled_from([b"\x01\x00", b"\x01\x01", b"\x01\x03"]),
    st.booleans(),
)
def test_no_random_token_is_accepted(rest, head, known_key):
    raw = head + (KEYSET.primary.id.to_bytes(4) + rest[4:] if known_key else rest)
    defect = VERIFIER.verify(armor(raw), program=SHOP)
    assert defect is (TokenDefect.TAG if known_key else TokenDefect.KEY_UNKNOWN)


@given(st.integers(0, 63), st.sampled_from("\n \0=+/!\uff11\u0410\ud800.~"))
def test_a_foreign_character_anywhere_is_malformed(position, intruder):
    text = sign()
    for hostile in (
        text[:position] + intruder + text[position + 1 :],
        text[:position] + intruder + text[position:],
    ):
        assert VERIFIER.verify(hostile, program=SHOP) is TokenDefect.MALFORMED


@given(st.integers(0, 700))
def test_any_other_length_is_refused(length):
    text = (sign() * 11)[:length]
    expected = TokenDefect.LENGTH if 2 <= length <= 512 else TokenDefect.MALFORMED
    assert length == 64 or VERIFIER.verify(text, program=SHOP) is expected


@pytest.mark.parametrize("program", ["", "Shop", "shop ", "shop\0", "sho", "\ud800", "x" * 10_000])
def test_a_token_of_another_program_never_verifies(program):
    assert VERIFIER.verify(sign(), program=program) is TokenDefect.TAG


def test_a_token_of_another_environment_never_verifies():
    """Also when the keys were copied there."""
    copied = dataclasses.replace(KEYSET, environment="production")
    assert TokenVerifier(copied).verify(sign(), program=SHOP) is TokenDefect.TAG


def test_environment_and_program_are_not_joined():
    """("test", "shop") and ("tests", "hop") are the same letters."""
    shifted = dataclasses.replace(KEYSET, environment="tests")
    assert VERIFIER.verify(sign(shifted, program="hop"), program=SHOP) is TokenDefect.TAG


def test_a_token_moved_to_another_campaign_never_verifies():
    raw = unarmor(sign(campaign=7))
    moved = armor(raw[:6] + (8).to_bytes(4) + raw[10:])
    assert VERIFIER.verify(moved, program=SHOP) is TokenDefect.TAG


def test_a_token_of_a_keyset_unknown_here_never_verifies():
    assert VERIFIER.verify(sign(keyset_of()), program=SHOP) is TokenDefect.KEY_UNKNOWN


USABLE = "usable"
FROM_MEMORY = "from memory"
STATES = [
    ([], USABLE),
    ([KeyState.VERIFY_ONLY], USABLE),
    ([KeyState.VERIFY_ONLY, KeyState.DISABLED], FROM_MEMORY),
    ([KeyState.VERIFY_ONLY, KeyState.DISABLED, KeyState.DESTROY_SCHEDULED], FROM_MEMORY),
    ([KeyState.VERIFY_ONLY, KeyState.DISABLED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED], "unknown"),
]


@pytest.mark.parametrize(("path", "expected"), STATES)
def test_what_a_key_state_does_to_the_tokens_of_the_key(path, expected):
    keyset = rotated(KEYSET, *path[1:]) if path else KEYSET
    result = TokenVerifier(keyset).verify(sign(), program=SHOP)
    if expected == "unknown":
        assert result is TokenDefect.KEY_UNKNOWN
    else:
        assert result.key_usable is (expected == USABLE)


def test_a_created_key_verifies_but_does_not_sign():
    keyset = KEYSET.with_new_key(now=NOW, random=secrets.token_bytes)
    created = keyset.keys[-1].id
    assert verified(sign(keyset)).key_id == KEYSET.primary.id
    promoted = keyset.with_state(created, KeyState.PRIMARY)
    early = verified(sign(promoted), TokenVerifier(keyset))
    assert (early.key_id, early.key_usable) == (created, True)


def test_minting_many_gives_the_same_tokens_as_signing_each():
    minter = signer(KEYSET, program=SHOP, campaign=7)
    rest = {name: value for name, value in FIELDS.items() if name != "campaign"}
    for customer_id in (None, "customer-42"):
        assert minter.sign(**rest, customer_id=customer_id) == sign(customer_id=customer_id)


OUT_OF_RANGE = [
    ({"campaign": -1}, "campaign is -1"),
    ({"campaign": 2**32}, "campaign is 4294967296"),
    ({"offer_index": -1}, "offer_index is -1"),
    ({"offer_index": 2**16}, "offer_index is 65536"),
    ({"serial": -1}, "serial is -1"),
    ({"serial": 2**40}, "serial is 1099511627776; it must be between 0 and 1099511627775"),
    ({"not_before": -1}, "not_before is -1"),
    ({"expires_at": 2**32}, "expires_at is 4294967296"),
    ({"expires_at": NOW}, "after not_before"),
    ({"not_before": NOW + 86_400}, "after not_before"),
    ({"now": NOW + 86_400}, rf"after .* now \({NOW + 86_400}\)"),
    ({"expires_at": NOW + TOKEN_LIFE_SECONDS_MAX + 1}, "more than 401 days"),
    ({"now": NOW + 40 * 86_400, "expires_at": NOW + KEY_LIFE_SECONDS_MAX + 1}, "signs nothing that outlives"),
    ({"customer_id": ""}, "customer_id is 0 bytes"),
    ({"customer_id": "x" * 129}, "customer_id is 129 bytes"),
    ({"customer_id": "\ud800"}, "customer_id holds a lone surrogate"),
    ({"program": ""}, "program is 0 bytes"),
    ({"program": "x" * 129}, "program is 129 bytes"),
    ({"program": "\udfff"}, "program holds a lone surrogate"),
]


@pytest.mark.parametrize(("changed", "message"), OUT_OF_RANGE, ids=[str(row[0])[:60] for row in OUT_OF_RANGE])
def test_nonsense_is_not_signed(changed, message):
    with pytest.raises(SigningError, match=message):
        sign(**changed)


@pytest.mark.parametrize("customer_id", ["", "x" * 129, "\ud800", "x" * 1_000_000])
def test_an_impossible_customer_never_matches_and_never_raises(customer_id):
    assert VERIFIER.holder_matches(verified(sign(customer_id="x")), customer_id) is False


def test_an_unbound_token_matches_nobody_even_with_a_holder_tag():
    """A token cannot be verified into this state; the rule does not lean on that."""
    token = copy.copy(verified(sign(customer_id="customer-42")))
    assert VERIFIER.holder_matches(token, "customer-42") is True
    object.__setattr__(token, "holder_bound", False)
    assert VERIFIER.holder_matches(token, "customer-42") is False


def test_a_holder_is_not_the_same_in_another_campaign():
    """Holder tags do not tell that two tokens are the same customer's."""
    tags = {verified(sign(customer_id="customer-42", campaign=number)).holder_tag for number in range(10)}
    assert len(tags) == 10


def test_holder_matches_answers_for_a_token_whose_key_has_gone():
    token = verified(sign(customer_id="customer-42"))
    assert TokenVerifier(keyset_of()).holder_matches(token, "customer-42") is False


@pytest.mark.parametrize(
    "forge",
    [
        VerifiedToken,
        lambda: VerifiedToken(program=SHOP, key_id=1),
        lambda: VerifiedToken(object(), *dataclasses.astuple(verified(sign()))),
        lambda: dataclasses.replace(verified(sign()), serial=1),
        lambda: dataclasses.replace(verified(sign()), serial=1, proof=object()),
    ],
)
def test_only_verify_makes_a_verified_token(forge):
    with pytest.raises((TypeError, ValueError)):
        forge()


def test_a_verified_token_is_a_value():
    text = sign()
    token = verified(text)
    assert token == verified(text) == copy.copy(token) == pickle.loads(pickle.dumps(token))
    assert hash(token) == hash(verified(text))


@pytest.fixture
def work(monkeypatch):
    """Counts key derivations and tags."""
    counts = {"derive": 0, "digest": 0}
    for kind, name in ((signing.Secret, "derive"), (signing.Mac, "digest")):
        original = getattr(kind, name)

        def counted(*arguments, original=original, name=name):
            counts[name] += 1
            return original(*arguments)

        monkeypatch.setattr(kind, name, counted)
    return counts


@COUNTS_CALLS
def test_an_unknown_key_costs_what_a_known_one_costs(work):
    """So the answer's timing does not tell which key ids there are."""
    verifier = TokenVerifier(KEYSET)
    raw = unarmor(sign())
    costs = []
    for key_id in (KEYSET.primary.id, KEYSET.primary.id ^ 1):
        work.update(derive=0, digest=0)
        defect = verifier.verify(armor(raw[:2] + key_id.to_bytes(4) + raw[6:32] + bytes(16)), program=SHOP)
        costs.append((defect, dict(work)))
    assert costs == [
        (TokenDefect.TAG, {"derive": 1, "digest": 1}),
        (TokenDefect.KEY_UNKNOWN, {"derive": 1, "digest": 1}),
    ]


def test_the_decoy_accepts_nothing_even_with_a_good_tag():
    """Nobody knows the decoy; if somebody did, it would be of no use."""
    decoy = KEYSET.privacy_root.derive(b"redemption/v1/decoy")
    unknown = dataclasses.replace(KEYSET.primary, id=KEYSET.primary.id ^ 1, material=decoy)
    stranger = dataclasses.replace(KEYSET, keys=(unknown,))
    assert VERIFIER.verify(sign(stranger), program=SHOP) is TokenDefect.KEY_UNKNOWN


@COUNTS_CALLS
def test_a_verified_campaign_is_derived_once(work):
    verifier = TokenVerifier(KEYSET)
    text = sign()
    work.update(derive=0, digest=0)
    for _ in range(5):
        verified(text, verifier)
    assert work == {"derive": 1, "digest": 5}


def test_forgeries_leave_nothing_in_the_cache():
    verifier = TokenVerifier(KEYSET)
    text = sign()
    for bit in range(384):
        verifier.verify(flipped(text, bit), program=SHOP)
    for program in ("", "a", "b"):
        verifier.verify(text, program=program)
    assert len(verifier._token_keys) == 0
    verified(text, verifier)
    assert len(verifier._token_keys) == 1


def test_the_caches_are_bounded():
    verifier = TokenVerifier(KEYSET, cache_size=3)
    texts = [sign(campaign=number, customer_id="x") for number in range(10)]
    for _ in range(2):
        assert all(verifier.holder_matches(verified(text, verifier), "x") for text in texts)
    assert (len(verifier._token_keys), verifier._holder_mac.cache_info().currsize) == (3, 3)


def test_a_forgery_is_refused_also_when_the_campaign_is_cached():
    verifier = TokenVerifier(KEYSET)
    text = sign()
    verified(text, verifier)
    assert verifier.verify(flipped(text, 0), program=SHOP) is TokenDefect.TAG
    assert verifier.verify(text, program="other") is TokenDefect.TAG
