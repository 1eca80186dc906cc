#!/usr/bin/env python3
"""Write tests/vectors: what every implementation of docs/token.md must accept, what it must refuse, and why.

The vectors are made with the code of the independent verifier, never with the service's own code, so that the service
is not tested against itself. All keys are fixed: running it again changes nothing.

    tools/make_vectors.py [DIRECTORY]
"""

import json
import sys
from pathlib import Path
from typing import Any

from vector_basis import keysets
from vector_codes import codes, typed
from vector_records import check_values, digests, receipts, reservations, settlements
from vector_tokens import golden, holders, hostile, key_lives, times, worked_example


def documents() -> dict[str, Any]:
    """File name → content, for all files."""
    return {
        "keysets.json": keysets(),
        "check.json": {
            "about": "The check values of every keyset of keysets.json, in hexadecimal.",
            "check_values": check_values(),
        },
        "token.json": {
            "about": "Verify text (repeated, if it says so) for program (shop) under keyset (main).",
            "worked_example": worked_example(),
            "golden": list(golden()),
            "hostile": list(hostile()),
            "holders": list(holders()),
            "times": list(times()),
            "key_lives": list(key_lives()),
        },
        "receipt.json": {
            "about": "Verify text for program (shop) under keyset (main).",
            "vectors": list(receipts()),
        },
        "settlement.json": {
            "about": "As receipt.json, in hexadecimal; an allocation is line, amount, merchant share, "
            "and from version 2 on what the line cost.",
            "vectors": list(settlements()),
        },
        "reservation.json": {
            "about": "As receipt.json; digests and terms are in hexadecimal, customer is null for a guest.",
            "vectors": list(reservations()),
        },
        "code.json": {
            "about": "Codes of key_id of keyset main, bytes in hexadecimal; older_text has no check character. And "
            "what is read from what people type: code, or the reason why it is none.",
            "codes": list(codes()),
            "typed": list(typed()),
        },
        "digest.json": {
            "about": "Program shop, privacy root of keyset main; bytes in hexadecimal.",
            "vectors": list(digests()),
        },
    }


def main(arguments: list[str]) -> int:
    """Write all files to the given directory, or to tests/vectors."""
    directory = Path(arguments[0]) if arguments else Path(__file__).parent.parent / "tests" / "vectors"
    directory.mkdir(parents=True, exist_ok=True)
    for name, document in documents().items():
        (directory / name).write_text(json.dumps(document, indent=1) + "\n", encoding="ascii")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
