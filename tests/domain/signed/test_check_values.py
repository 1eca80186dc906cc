"""Check values: the same for the same secret, another for any other, and worth nothing to who wants the secret."""

from dataclasses import replace

import pytest
from builders.keysets import keyset_of, rotated
from builders.vectors import KEYSETS, vectors_of

from redemption.domain.signed.check_values import PRIVACY_ROOT, check_values, named
from redemption.domain.signed.keyset import KeyState
from redemption.domain.signed.signing import Secret

OTHER = Secret(bytes(range(32)))
VECTORS = vectors_of("check")["check_values"]


@pytest.mark.parametrize("name", KEYSETS)
def test_vector(name):
    assert check_values(KEYSETS[name]) == VECTORS[name]


def test_only_what_never_changes_counts():
    """Not the state of a key. Its id and its times do, and so does the environment of the root."""
    keyset = keyset_of()
    (key,) = keyset.keys
    name = f"{key.id:08x}"
    before = check_values(keyset)
    same = [
        replace(keyset, id="0" * 16, development=True),
        rotated(keyset, KeyState.DISABLED),
    ]
    assert [{each: check_values(changed)[each] for each in before} for changed in same] == [before] * len(same)
    assert before.keys() == {PRIVACY_ROOT, name}
    changed = check_values(replace(keyset, privacy_root=OTHER))
    assert (changed[PRIVACY_ROOT] != before[PRIVACY_ROOT], changed[name]) == (True, before[name])
    changed = check_values(replace(keyset, environment="other"))
    assert (changed[PRIVACY_ROOT] != before[PRIVACY_ROOT], changed[name]) == (True, before[name])
    changed = check_values(replace(keyset, keys=(replace(key, material=OTHER),)))
    assert (changed[PRIVACY_ROOT], changed[name] != before[name]) == (before[PRIVACY_ROOT], True)
    for moved in ({"created_at": key.created_at + 1}, {"max_expires_at": key.max_expires_at - 1}):
        changed = check_values(replace(keyset, keys=(replace(key, **moved),)))
        assert (changed[PRIVACY_ROOT], changed[name] != before[name]) == (before[PRIVACY_ROOT], True)
    assert before[name] not in check_values(replace(keyset, keys=(replace(key, id=key.id ^ 1),))).values()


def test_a_destroyed_key_has_no_check_value():
    keyset = keyset_of()
    states = (KeyState.DISABLED, KeyState.DESTROY_SCHEDULED, KeyState.DESTROYED)
    assert f"{keyset.primary.id:08x}" not in check_values(rotated(keyset, *states))


def test_a_root_and_a_key_of_the_same_bytes_have_different_values():
    """No keyset has that; the labels keep them apart all the same."""
    root = check_values(replace(keyset_of(), privacy_root=OTHER))[PRIVACY_ROOT]
    keyset = keyset_of()
    key = check_values(replace(keyset, keys=(replace(keyset.primary, material=OTHER),)))[f"{keyset.primary.id:08x}"]
    assert root != key


def test_what_differs_is_named_in_words():
    names = (PRIVACY_ROOT, "1a2b3c4d")
    assert [named(name) for name in names] == ["privacy_root (or environment)", "material or times of key 1a2b3c4d"]
