"""Two readers of exchange codes, compared with each other; they share no code."""

import ast
import os
import subprocess
import sys

import pytest
from builders.vectors import vectors_of
from hypothesis import given
from hypothesis import strategies as st
from tool_loader import ROOT, TOOLS, load_tool

from redemption.domain.signed.exchange_code import Misread, read_code, write_code

verify_code = load_tool("verify_code")

SCRIPT = TOOLS / "verify_code.py"
VECTORS = vectors_of("code")
CHARACTERS = st.sampled_from("0123456789ABCDEFGHJKMNPQRSTVWXYZilouIL OU-\u2013\uff35\uff21._\u0410")
CODES = st.binary(min_size=10, max_size=10)


def by_the_service(text):
    read = read_code(text)
    return read.value if isinstance(read, Misread) else read


def test_the_independent_reader_uses_the_standard_library_alone():
    imports = [node for node in ast.walk(ast.parse(SCRIPT.read_text())) if isinstance(node, ast.Import)]
    assert {alias.name for node in imports for alias in node.names} <= sys.stdlib_module_names


@pytest.mark.parametrize("vector", VECTORS["typed"], ids=lambda vector: vector["name"])
def test_both_agree_on_every_vector(vector):
    expected = vector["reason"] or bytes.fromhex(vector["code"])
    assert (by_the_service(vector["typed"]), verify_code.read_code(vector["typed"])) == (expected, expected)


@given(CODES)
def test_both_write_the_same(code):
    assert write_code(code) == verify_code.code_text(code)


@given(CODES, st.data())
def test_both_agree_on_what_is_nearly_a_code(code, data):
    """Some characters of a code are replaced by any others, and some are added or removed."""
    text = list(write_code(code))
    for _ in range(data.draw(st.integers(0, 4))):
        place = data.draw(st.integers(0, len(text) - 1))
        text[place : place + data.draw(st.integers(0, 2))] = data.draw(st.lists(CHARACTERS, max_size=2))
    typed = "".join(text)
    assert by_the_service(typed) == verify_code.read_code(typed)


@given(st.text(max_size=70))
def test_both_agree_on_any_text(text):
    assert by_the_service(text) == verify_code.read_code(text)


@pytest.mark.parametrize(
    ("typed", "code", "told"),
    [
        (" xjnhgy35a455yns2m", 0, "code: ecab187865510a5f5722\ntext: XJNH-GY35-A455-YNS2M\n"),
        ("XJNH-GY53-A455-YNS2M", 1, "refused: mistyped\n"),
        ("welcome", 1, "refused: not_a_code\n"),
        (os.fsdecode(b"\xff\xfe"), 1, "refused: not_a_code\n"),
    ],
)
def test_the_command_prints_the_code_or_why_it_is_none(typed, code, told):
    line = [sys.executable, "-I", os.fspath(SCRIPT), typed]
    done = subprocess.run(line, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stdout, done.stderr) == (code, told, "")
