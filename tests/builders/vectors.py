"""The vectors of tests/vectors, and the keys with which they were made."""

import json

from builders.keysets import keyset_from
from tool_loader import VECTORS


def vectors_of(name):
    """What a file of vectors holds."""
    return json.loads((VECTORS / f"{name}.json").read_bytes())


KEYSET_DOCUMENTS = vectors_of("keysets")
KEYSETS = {name: keyset_from(document) for name, document in KEYSET_DOCUMENTS.items()}
