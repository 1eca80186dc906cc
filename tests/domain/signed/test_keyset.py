"""Keysets: one primary, ids never reused, JSON that is read strictly, errors that show no secret."""

import json
import secrets
import traceback

import pytest
from builders.keysets import keyset_from, keyset_of, rotated
from builders.times import NOW
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.signed.keyset import KEY_LIFE_SECONDS_MAX, Key, Keyset, KeysetError, KeyState
from redemption.domain.signed.signing import Secret


def a_keyset():
    """One key in each state."""
    keyset = keyset_of(development=True)
    path = [KeyState.VERIFY_ONLY, KeyState.DISABLED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED]
    for length in range(1, len(path) + 1):
        keyset = rotated(keyset, *path[1:length])
    return keyset.with_new_key(now=NOW, random=secrets.token_bytes)


KEYSET = a_keyset()


def a_document():
    return json.loads(KEYSET.to_json())


def test_the_example_has_a_key_in_every_state():
    assert {key.state for key in KEYSET.keys} == set(KeyState)


def test_a_new_keyset_has_one_primary_key_that_lives_430_days():
    keyset = keyset_of()
    (key,) = keyset.keys
    assert (key.state, key.created_at) == (KeyState.PRIMARY, NOW)
    assert key.max_expires_at == NOW + 430 * 86_400
    assert (keyset.environment, keyset.development, len(keyset.id)) == ("test", False, 16)
    assert keyset.primary is key


def test_a_key_id_is_never_zero_and_never_one_that_was_used():
    ids = iter([bytes(4), b"\0\0\0\1", bytes(4), b"\0\0\0\1", b"\0\0\0\2"])

    def random(length):
        return next(ids) if length == 4 else secrets.token_bytes(length)

    keyset = keyset_of(random=random)
    assert [key.id for key in keyset.with_new_key(now=NOW, random=random).keys] == [1, 2]


def test_a_keyset_is_read_back_as_it_was_written():
    assert Keyset.from_json(KEYSET.to_json()) == KEYSET
    assert Keyset.from_json(KEYSET.to_json()).to_json() == KEYSET.to_json()


def test_no_printing_shows_a_secret():
    shown = repr(KEYSET) + str(KEYSET.keys[0])
    hidden = [KEYSET.privacy_root, *(key.material for key in KEYSET.keys if key.material)]
    assert not [secret for secret in hidden if secret.reveal().hex() in shown or repr(secret.reveal()) in shown]


@pytest.mark.parametrize(
    ("state", "usable"),
    [
        (KeyState.CREATED, True),
        (KeyState.PRIMARY, True),
        (KeyState.VERIFY_ONLY, True),
        (KeyState.DISABLED, False),
        (KeyState.DESTROY_SCHEDULED, False),
        (KeyState.DESTROYED, False),
    ],
)
def test_which_keys_serve_new_requests(state, usable):
    assert state.usable is usable


def test_promoting_a_key_keeps_the_former_primary_for_verifying():
    before = KEYSET.primary.id
    promoted = KEYSET.with_state(KEYSET.keys[-1].id, KeyState.PRIMARY)
    states = {key.id: key.state for key in promoted.keys}
    assert promoted.primary.id == KEYSET.keys[-1].id
    assert states[before] is KeyState.VERIFY_ONLY


def test_destroying_a_key_takes_its_material_and_leaves_a_tombstone():
    scheduled = next(key for key in KEYSET.keys if key.state is KeyState.DESTROY_SCHEDULED)
    destroyed = KEYSET.with_state(scheduled.id, KeyState.DESTROYED)
    materials = {key.id: key.material for key in destroyed.keys}
    assert scheduled.material is not None
    assert materials[scheduled.id] is None


ALLOWED = {
    ("CREATED", "PRIMARY"),
    ("CREATED", "DISABLED"),
    ("VERIFY_ONLY", "PRIMARY"),
    ("VERIFY_ONLY", "DISABLED"),
    ("DISABLED", "VERIFY_ONLY"),
    ("DISABLED", "DESTROY_SCHEDULED"),
    ("DESTROY_SCHEDULED", "DISABLED"),
    ("DESTROY_SCHEDULED", "DESTROYED"),
}


@pytest.mark.parametrize("after", KeyState)
@pytest.mark.parametrize("before", KeyState)
def test_a_key_moves_only_along_its_life(before, after):
    key_id = next(key.id for key in KEYSET.keys if key.state is before)
    if (before, after) in ALLOWED:
        moved = KEYSET.with_state(key_id, after)
        assert next(key.state for key in moved.keys if key.id == key_id) is after
    else:
        with pytest.raises(KeysetError, match=f"is {before} and cannot become {after}"):
            KEYSET.with_state(key_id, after)


def test_an_unknown_key_cannot_be_moved():
    with pytest.raises(KeysetError, match="there is no key 0"):
        KEYSET.with_state(0, KeyState.DISABLED)


def change(path, value):
    def edit(document):
        *parents, last = path
        for step in parents:
            document = document[step]
        document[last] = value

    return edit


def remove(path):
    def edit(document):
        *parents, last = path
        for step in parents:
            document = document[step]
        del document[last]

    return edit


def primary_index():
    return next(i for i, key in enumerate(KEYSET.keys) if key.state is KeyState.PRIMARY)


def destroyed_index():
    return next(i for i, key in enumerate(KEYSET.keys) if key.state is KeyState.DESTROYED)


DAYS_431 = NOW + 431 * 86_400
DEFECTS = [
    ("another format", change(["format"], 2), "format: 2 is not known"),
    ("a format that is true", change(["format"], True), "format: must be a number"),
    ("no id", remove(["id"]), "the field id is missing"),
    ("id in capitals", change(["id"], "ABCDEF0123456789"), "id: must be 16"),
    ("id with a newline", change(["id"], "abcdef0123456789\n"), "id: must be 16"),
    ("id is a number", change(["id"], 7), "id: must be a text"),
    ("empty environment", change(["environment"], ""), "environment: .* 0 bytes"),
    ("environment is no text", change(["environment"], "\ud800"), "environment: .* lone surrogate"),
    ("long environment", change(["environment"], "x" * 129), "environment: .* 129 bytes"),
    ("development is a number", change(["development"], 1), "development: must be true or false"),
    ("short privacy root", change(["privacy_root"], "00" * 31), "privacy_root: must be 64"),
    ("privacy root with spaces", change(["privacy_root"], "00 " * 21 + "0"), "privacy_root: must be 64"),
    ("privacy root is null", change(["privacy_root"], None), "privacy_root: must be 64"),
    ("privacy root of zeros", change(["privacy_root"], "00" * 32), "privacy_root: is not random, its bytes repeat"),
    ("material of zeros", change(["keys", 1, "material"], "00" * 32), r"keys\[1\].material: is not random"),
    ("material of ones", change(["keys", 1, "material"], "ff" * 32), r"keys\[1\].material: is not random"),
    (
        "material of one word",
        change(["keys", 1, "material"], b"changeme".hex() * 4),
        r"keys\[1\].material: is not random",
    ),
    ("unknown field", change(["note"], "x"), "1 unknown fields"),
    ("keys is an object", change(["keys"], {}), "keys: must be a list"),
    ("no keys", change(["keys"], []), "keys: there are 0"),
    ("a key is a list", change(["keys", 1], []), r"keys\[1\]: must be an object"),
    ("a key without state", remove(["keys", 1, "state"]), r"keys\[1\]: the field state is missing"),
    ("a key with a note", change(["keys", 1, "note"], ""), r"keys\[1\]: 1 unknown fields"),
    (
        "unknown state",
        change(["keys", 1, "state"], "ACTIVE"),
        r"keys\[1\].state: must be one of CREATED, PRIM",
    ),
    ("state is a list", change(["keys", 1, "state"], []), r"keys\[1\].state: must be one of"),
    ("key id zero", change(["keys", 1, "id"], 0), r"keys\[1\].id: 0 is no key id"),
    ("key id 2^32", change(["keys", 1, "id"], 2**32), r"keys\[1\].id: 4294967296 is no key id"),
    ("key id is true", change(["keys", 1, "id"], True), r"keys\[1\].id: must be a number"),
    ("key id with a fraction", change(["keys", 1, "id"], 1.0), r"keys\[1\].id: must be a number"),
    ("same id twice", change(["keys", 1, "id"], KEYSET.keys[0].id), "appears more than once"),
    ("no primary", change(["keys", primary_index(), "state"], "VERIFY_ONLY"), "0 keys are PRIMARY"),
    ("two primaries", change(["keys", -1, "state"], "PRIMARY"), "2 keys are PRIMARY"),
    (
        "no material",
        change(["keys", primary_index(), "material"], None),
        "material: a destroyed key has none",
    ),
    (
        "material of a destroyed key",
        change(["keys", destroyed_index(), "material"], "ab" * 32),
        r"keys\[\d\].material: a destroyed key has none",
    ),
    (
        "lives too long",
        change(["keys", 1, "max_expires_at"], DAYS_431),
        r"keys\[1\].max_expires_at: .* 430 days",
    ),
    (
        "ends as it begins",
        change(["keys", 1, "max_expires_at"], NOW),
        r"keys\[1\].max_expires_at: must be after",
    ),
    (
        "created before time",
        change(["keys", 1, "created_at"], -1),
        r"keys\[1\].max_expires_at: must be after",
    ),
    (
        "created_at is a text",
        change(["keys", 1, "created_at"], "now"),
        r"keys\[1\].created_at: must be a number",
    ),
    (
        "two keys of the same bytes",
        change(["keys", primary_index(), "material"], a_document()["keys"][-1]["material"]),
        "share their bytes",
    ),
    (
        "privacy root signs",
        change(["keys", primary_index(), "material"], a_document()["privacy_root"]),
        "share their bytes",
    ),
]


@pytest.mark.parametrize(("edit", "message"), [row[1:] for row in DEFECTS], ids=[row[0] for row in DEFECTS])
def test_a_defect_is_named_with_its_field(edit, message):
    document = a_document()
    edit(document)
    with pytest.raises(KeysetError, match=message):
        keyset_from(document)


@pytest.mark.parametrize(
    ("document", "message"),
    [
        (b"", "not JSON"),
        (b"\xff", "not JSON"),
        ("{}".encode("utf-16"), "not JSON"),
        (b"\xef\xbb\xbf{}", "not JSON"),
        (b"[]", "must be an object"),
        (b"null", "must be an object"),
        (b"[" * 100_000, "not JSON"),
        (b"9" * 10_000, "not JSON"),
        (b'{"id": 1, "id": 2}', "a field twice"),
        (b'{"keys": [{"id": 1, "id": 2}]}', "a field twice"),
        (b" " * (1 << 20) + b"1", "longer than"),
    ],
)
def test_what_is_no_keyset_is_refused(document, message):
    with pytest.raises(KeysetError, match=message):
        Keyset.from_json(document)


@given(st.binary() | st.text().map(lambda text: json.dumps({"id": text}).encode()))
def test_no_document_raises_anything_else(document):
    with pytest.raises(KeysetError):
        Keyset.from_json(document)


@given(st.integers(0, len(KEYSET.to_json()) - 1), st.binary(min_size=1, max_size=1))
def test_a_damaged_keyset_is_read_or_refused_and_shows_no_secret(position, byte):
    whole = KEYSET.to_json()
    shown = ""
    try:
        Keyset.from_json(whole[:position] + byte + whole[position + 1 :])
    except KeysetError as error:
        shown = "".join(traceback.format_exception(error))
    assert not [key for key in KEYSET.keys if key.material and key.material.reveal().hex()[8:40] in shown]


@pytest.mark.parametrize("life", [0, KEY_LIFE_SECONDS_MAX + 1])
def test_a_key_made_by_hand_is_held_to_the_same_rules(life):
    with pytest.raises(KeysetError, match="max_expires_at"):
        Key(1, KeyState.CREATED, Secret(bytes(32)), created_at=NOW, max_expires_at=NOW + life)
