"""Two implementations of one specification, compared with each other; they share no code."""

import ast
import copy
import dataclasses
import functools
import json
import operator
import os
import random
import subprocess
import sys

import pytest
from builders.tokens import sign_token
from builders.vectors import KEYSET_DOCUMENTS, KEYSETS, vectors_of
from tool_loader import ROOT, TOOLS, load_tool

from redemption.domain.signed.base64url import armor, unarmor
from redemption.domain.signed.keyset import Keyset, KeysetError
from redemption.domain.signed.token import TokenVerifier, VerifiedToken

verify_token = load_tool("verify_token")

SCRIPT = TOOLS / "verify_token.py"
SHOP = "shop"
DOCUMENTS = {name: json.dumps(document).encode() for name, document in KEYSET_DOCUMENTS.items()}
VERIFIERS = {name: TokenVerifier(keyset) for name, keyset in KEYSETS.items()}
INDEPENDENT = {name: verify_token.read_keyset(document) for name, document in DOCUMENTS.items()}
VECTOR_FILE = vectors_of("token")
NOW = KEYSETS["main"].primary.created_at


def by_the_service(text, program=SHOP, keyset="main"):
    result = VERIFIERS[keyset].verify(text, program=program)
    if not isinstance(result, VerifiedToken):
        return result.value
    fields = dataclasses.asdict(result)
    return fields | {"holder_tag": fields["holder_tag"].hex()}


def independently(text, program=SHOP, keyset="main"):
    result = verify_token.verify(INDEPENDENT[keyset], program, text)
    return result if isinstance(result, str) else dataclasses.asdict(result) | {"program": program}


def test_the_independent_verifier_uses_the_standard_library_alone():
    tree = ast.parse(SCRIPT.read_text())
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    names = {alias.name.partition(".")[0] for node in imports for alias in node.names}
    names |= {node.module.partition(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    assert names <= sys.stdlib_module_names


@pytest.mark.parametrize("vector", VECTOR_FILE["golden"] + VECTOR_FILE["hostile"], ids=lambda row: row["name"])
def test_both_agree_on_every_vector(vector):
    text = vector["text"] * vector.get("repeat", 1)
    place = (text, vector.get("program", SHOP), vector.get("keyset", "main"))
    expected = vector.get("defect") or vector["token"] | {"program": place[1]}
    if isinstance(expected, dict):
        expected["outlives_key"] = expected["expires_at"] > KEYSETS["main"].primary.max_expires_at
    assert (by_the_service(*place), independently(*place)) == (expected, expected)


@pytest.mark.parametrize("vector", VECTOR_FILE["key_lives"], ids=lambda row: row["name"])
def test_both_agree_on_which_tokens_outlive_their_keys(vector):
    found = [read(vector["text"])["outlives_key"] for read in (by_the_service, independently)]
    assert found == [vector["outlives_key"]] * 2


@pytest.mark.parametrize("vector", VECTOR_FILE["holders"], ids=lambda row: row["name"])
def test_both_agree_on_every_holder(vector):
    token = verify_token.verify(INDEPENDENT["main"], SHOP, vector["text"])
    matches = verify_token.holder_matches(INDEPENDENT["main"], SHOP, token, vector["customer_id"])
    assert matches is vector["matches"]


def random_token(dice):
    expires_at = NOW + dice.randint(2, 86_400 * 400)
    return sign_token(
        KEYSETS[dice.choice(["main", "main", "main", "staging", "other_material"])],
        program=dice.choice([SHOP, SHOP, SHOP, "shop2", "程序"]),
        campaign=dice.choice([0, 7, 2**32 - 1, dice.getrandbits(32)]),
        offer_index=dice.getrandbits(16),
        serial=dice.choice([0, 2**40 - 1, dice.getrandbits(40)]),
        not_before=dice.randint(0, NOW),
        expires_at=expires_at,
        now=NOW,
        customer_id=dice.choice([None, "customer-42", "é", "x" * 128]),
        shared=dice.random() < 0.3,
    )


def mutated(dice, text):
    """The text as it is, or with bits, characters or lengths changed, or re-tagged bodies."""
    kind = dice.randrange(8)
    position = dice.randrange(64)
    if kind == 0:
        raw = int.from_bytes(unarmor(text)) ^ (1 << dice.randrange(384))
        return armor(raw.to_bytes(48))
    if kind == 1:
        return text[:position] + dice.choice("AZaz09-_+/= \n\0é\ud800") + text[position + 1 :]
    if kind == 2:
        return text[: dice.randrange(66)] + dice.choice(["", "A", "AQ", "\n"])
    if kind == 3:
        return armor(bytes([dice.choice([0, 1, 1, 1, 2]), dice.randrange(5)]) + dice.randbytes(46))
    return text


def test_both_agree_on_thousands_of_random_and_mutated_tokens():
    dice = random.Random(20_250_615)
    accepted, reasons = 0, set()
    for _ in range(4_000):
        text = mutated(dice, random_token(dice))
        program = dice.choice([SHOP, SHOP, SHOP, "shop2", "程序", "", "\ud800"])
        results = (by_the_service(text, program), independently(text, program))
        assert results[0] == results[1], repr(text)
        accepted += isinstance(results[0], dict)
        reasons.add(results[0] if isinstance(results[0], str) else "")
    assert accepted > 300
    assert {"malformed", "version", "length", "flags", "key_unknown", "tag", ""} <= reasons


def test_both_agree_on_who_holds_a_token():
    dice = random.Random(7)
    customers = ["customer-42", "é", "e\u0301", "x" * 128, "", "x" * 129, "\ud800"]
    for _ in range(300):
        text = random_token(dice)
        verified = VERIFIERS["main"].verify(text, program=SHOP)
        token = verify_token.verify(INDEPENDENT["main"], SHOP, text)
        for customer in customers if isinstance(verified, VerifiedToken) else []:
            expected = VERIFIERS["main"].holder_matches(verified, customer)
            assert verify_token.holder_matches(INDEPENDENT["main"], SHOP, token, customer) is expected


@pytest.fixture
def keyset_file(tmp_path):
    path = tmp_path / "test.keyset"
    path.write_bytes(DOCUMENTS["main"])
    return path


@pytest.fixture
def command(keyset_file):
    """Runs the script as a person does, away from this project's environment."""

    def run(*arguments, keyset=keyset_file):
        line = [sys.executable, "-I", os.fspath(SCRIPT), "--keyset", os.fspath(keyset), *arguments]
        done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
        assert "Traceback" not in done.stderr
        return done

    return run


def golden(name):
    return next(vector["text"] for vector in VECTOR_FILE["golden"] if vector["name"] == name)


def test_the_command_prints_the_fields_of_a_genuine_token(command):
    done = command("--program", SHOP, golden("holder-bound"))
    assert (done.returncode, done.stderr) == (0, "")
    expected = {"campaign: 7", "offer_index: 2", "serial: 123456789", "holder_bound: True"}
    assert expected <= set(done.stdout.splitlines())


# A command line carries no NUL and no megabyte; every eighth of the rest takes a new process each.
TYPED = [row for row in VECTOR_FILE["hostile"] if not {"repeat", "keyset"} & row.keys() and "\0" not in row["text"]]


@pytest.mark.parametrize("vector", TYPED[::8], ids=lambda row: row["name"])
def test_the_command_prints_the_reason_of_a_refusal(command, vector):
    done = command("--program", vector.get("program", SHOP), "--", vector["text"])
    assert (done.returncode, done.stdout) == (1, f"refused: {vector['defect']}\n")


@pytest.mark.parametrize(("customer", "code"), [("customer-42", 0), ("customer-43", 1), ("", 1), (b"\xff", 1)])
def test_the_command_checks_the_holder_when_asked(command, customer, code):
    customer = os.fsdecode(customer)
    done = command("--program", SHOP, "--customer", customer, golden("holder-bound"))
    assert (done.returncode, done.stdout.endswith("refused: holder\n")) == (code, bool(code))


@pytest.mark.parametrize("token", [b"\xff\xfe", b"", b"-", b"--", b"\xe4\xb8\xad"])
def test_the_command_survives_any_argument(command, token):
    done = command("--program", SHOP, "--", os.fsdecode(token))
    assert done.returncode in {1, 2}


ODD_VALUES = [
    None,
    True,
    False,
    0,
    1,
    -1,
    1.0,
    2**32 - 1,
    2**32,
    10**30,
    float("inf"),
    "",
    "x",
    "0123456789abcdef",
    "0123456789ABCDEF",
    "0123456789abcdef\n",
    "\uff10123456789abcdef",
    "x" * 128,
    "x" * 129,
    "é" * 64,
    "é" * 65,
    "\ud800",
    "ab" * 32,
    "0123456789abcdef" * 4,
    "0123456789abcdeF" * 4,
    "0123456789abcdef" * 3 + "0123456789abcd f",
    "PRIMARY",
    "CREATED",
    "DESTROYED",
    "primary",
    KEYSET_DOCUMENTS["main"]["privacy_root"],
    KEYSET_DOCUMENTS["main"]["keys"][0]["material"],
    NOW,
    NOW + 430 * 86_400,
    NOW + 430 * 86_400 + 1,
    [],
    {},
    ["PRIMARY"],
]


def odd_keysets():
    """Keysets with one field that is odd, missing, unknown or given twice, as they are in a file."""
    whole = KEYSET_DOCUMENTS["main"]
    places = [(name,) for name in whole] + [("keys", 0)]
    places += [("keys", index, name) for index in (0, 1, -1) for name in whole["keys"][0]]
    for place in places:
        for value in (*ODD_VALUES, ...):
            document = copy.deepcopy(whole)
            *parents, last = place
            owner = functools.reduce(operator.getitem, parents, document)
            if value is ...:
                del owner[last]
            else:
                owner[last] = value
            yield f"{place} {value!r}"[:80], json.dumps(document).encode()
        text = json.dumps(whole)
        name = json.dumps(place[-1])
        if name in text:
            yield f"{place} twice", text.replace(f"{name}: ", f"{name}: 1, {name}: ", 1).encode()
            yield f"{place} unknown", text.replace(f"{name}: ", f'"note": 1, {name}: ', 1).encode()
    yield "no keys", json.dumps(whole | {"keys": []}).encode()
    yield "1001 keys", json.dumps(whole | {"keys": [whole["keys"][-1] | {"id": n + 1} for n in range(1001)]}).encode()
    yield "another encoding", json.dumps(whole).encode("utf-16")
    yield "byte order mark", b"\xef\xbb\xbf" + json.dumps(whole).encode()
    yield "one byte too long", json.dumps(whole).ljust((1 << 20) + 1).encode()
    yield "as long as may be", json.dumps(whole).ljust(1 << 20).encode()


def is_read(read, refusal, document):
    try:
        read(document)
    except refusal:
        return False
    return True


def test_both_agree_on_every_odd_keyset():
    """Which keysets are read, and which are refused."""
    disagree, accepted, refused = [], 0, 0
    for name, document in odd_keysets():
        found = is_read(Keyset.from_json, KeysetError, document)
        if found != is_read(verify_token.read_keyset, verify_token.KeysetUnreadableError, document):
            disagree.append((name, found))
        accepted, refused = accepted + found, refused + (not found)
    assert disagree == []
    assert accepted > 30
    assert refused > 600


UNREADABLE = {
    "empty": b"",
    "no JSON": b"\xff{",
    "another kind": b"[1]",
    "deep": b"[" * 100_000,
    "no format": b"{}",
    "endless": b" " * (2 << 20),
    "a field twice": DOCUMENTS["main"].replace(b'"id"', b'"id": 1, "id"', 1),
    "an unknown field": DOCUMENTS["main"].replace(b'"id"', b'"note": 1, "id"', 1),
    "another format": DOCUMENTS["main"].replace(b'"format": 1', b'"format": 2'),
    "id in capitals": DOCUMENTS["main"].replace(b"abcdef", b"ABCDEF"),
    "unknown state": DOCUMENTS["main"].replace(b"CREATED", b"RETIRED"),
}


@pytest.mark.parametrize("document", UNREADABLE.values(), ids=UNREADABLE.keys())
def test_a_keyset_that_cannot_be_read_is_one_clear_line(keyset_file, capsys, document):
    keyset_file.write_bytes(document)
    code = verify_token.main(["--keyset", str(keyset_file), "--program", SHOP, golden("unbound")])
    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (2, "", 1)
    assert shown.err.startswith("cannot read the keyset: ")
    assert not [key for key in KEYSET_DOCUMENTS["main"]["keys"] if key["material"] and key["material"] in shown.err]


def test_a_missing_keyset_is_one_clear_line(command, tmp_path):
    for path in (tmp_path / "none.keyset", tmp_path):
        done = command("--program", SHOP, golden("unbound"), keyset=path)
        assert (done.returncode, done.stderr.count("\n")) == (2, 1)


def test_a_missing_argument_is_explained(command):
    done = command("--program", SHOP)
    assert done.returncode == 2
    assert "required: token" in done.stderr
