"""Signing keys for tests."""

import json
import secrets

from builders.times import NOW

from redemption.domain.signed.keyset import Keyset, KeyState


def keyset_of(*, environment="test", development=False, now=NOW, random=secrets.token_bytes):
    """A fresh keyset of one key."""
    return Keyset.generate(environment=environment, development=development, now=now, random=random)


def rotated(keyset, *states, now=None):
    """The keyset with a new primary key; the old key has passed through some states."""
    old = keyset.primary
    keyset = keyset.with_new_key(now=old.created_at if now is None else now, random=secrets.token_bytes)
    keyset = keyset.with_state(keyset.keys[-1].id, KeyState.PRIMARY)
    for state in states:
        keyset = keyset.with_state(old.id, state)
    return keyset


def keyset_from(document):
    """A keyset of a document as JSON has it."""
    return Keyset.from_json(json.dumps(document).encode())
