"""Reading files: nothing is guessed, and no input uses up time or memory."""

import itertools
import json

import pytest
import yaml

from redemption.cli.exits import BadFile
from redemption.cli.input.source_file import DEPTH_MAX, plain, read_source

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "\n".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 9)}]" for before, name in zip("abcdefgh", "bcdefghi", strict=True)
)


def read(tmp_path, content, name="file.yaml"):
    file = tmp_path / name
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    return file, lambda: read_source(file)


def test_every_value_is_text(tmp_path):
    _, source = read(
        tmp_path, "time: 20:00\nno: no\nsum: 200.00\nnothing: ~\nhex: 0x10\nday: 2026-06-18\nlist: [1, on]"
    )
    assert plain(source().root) == {
        "time": "20:00",
        "no": "no",
        "sum": "200.00",
        "nothing": "~",
        "hex": "0x10",
        "day": "2026-06-18",
        "list": ["1", "on"],
    }


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        ("", ":1: is empty"),
        ("# only a comment\n", ":1: is empty"),
        ("---\n", ":1: is empty"),
        ("just text\n", ":1: must begin with the name of a field, such as 'name: ...'"),
        ("- a list\n", ":1: must begin with the name of a field, such as 'name: ...'"),
        ("a: 1\nb: 2\na: 3\n", ":3: a: is given twice, first in line 1"),
        ("a:\n  b: 1\n  b: 2\n", ":3: b: is given twice, first in line 2"),
        (BOMB, ":1: anchors and aliases (& and *) are not allowed; write the value out"),
        ("a: 1\nb: *x\n", ":2: anchors and aliases (& and *) are not allowed; write the value out"),
        (
            "a: !!python/object:os.system 1\n",
            ":1: tags such as tag:yaml.org,2002:python/object:os.system are not allowed; every value is plain text",
        ),
        ("a: !int 1\n", ":1: tags such as !int are not allowed; every value is plain text"),
        ("{[1]: 2}\n", ":1: the name of a field must be plain text"),
        ("a: 1\n---\nb: 2\n", ":2: a second document begins here; one file holds one"),
        ("a: [" + "[" * 20 + "]" * 20 + "]", ":1: is nested deeper than 16 levels"),
        ("a: [" + "1, " * 20_001 + "]", ":1: has more than 20000 values"),
        (b"a: caf\xe9\n", ":1: is not UTF-8 text; save the file as UTF-8"),
        (b"a: 1\nb: \xff\n", ":2: is not UTF-8 text; save the file as UTF-8"),
        ("a: 1\nb\uff1a 2\nc: 3\n", ":2: has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("a: 1\nb\uff1a2\n", ":2: has the full-width '\uff1a' (U+FF1A); write ':' and a blank"),
        ("b\uff1a 2\nc: 3\n", ":1: has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("b\uff1a 2\n", ":1: has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("a:\n  - b\uff1a 2\n    c: 3\n", ":2: has the full-width '\uff1a' (U+FF1A); write ':'"),
        ("a:\n\u3000\u3000b: 2\n  c: [\n", ":2: begins with U+3000 IDEOGRAPHIC SPACE; indent with plain spaces"),
        ("a:\n\uff0d b: 2\n- c: 3\n", ":2: has the full-width '\uff0d' (U+FF0D); write '-' and a blank"),
        (b"a: 1\nb: \x00\n", ":2: has a character that is not text: U+0000"),
        (b"a: 1\nb: \x1b[2J\n", ":2: has a character that is not text: U+001B"),
        ("a: " + "x" * 2**20, ": is larger than 1024 KiB"),
    ],
)
def test_what_is_refused_is_named_with_its_line(tmp_path, content, problem):
    file, source = read(tmp_path, content)
    with pytest.raises(BadFile) as caught:
        source()
    assert caught.value.told == (f"{file}{problem}",)


@pytest.mark.parametrize(
    ("encoding", "found"),
    [("gbk", "it looks like GBK; "), ("gb18030", "it looks like GBK; "), ("utf-16", None), ("utf-16-le", None)],
)
def test_a_file_in_another_encoding_is_told_the_remedy(tmp_path, encoding, found):
    """Such a file comes from a text editor or a spreadsheet on Windows."""
    file, source = read(tmp_path, "name: 满200减50\nnote: 限新客\n".encode(encoding), "满减 1.yaml")
    problem = f"is not UTF-8 text; {found}" if found else "is UTF-16, not UTF-8; "
    name = "GBK" if found else "UTF-16"
    with pytest.raises(BadFile) as caught:
        source()
    remedy = f"save the file as UTF-8, or convert it: iconv -f {name} -t UTF-8 '{file}' > '{file}.utf8'"
    assert caught.value.told == (f"{file}:1: {problem}{remedy}",)


def test_a_rare_character_of_gb18030_alone_is_told_as_that(tmp_path):
    file, source = read(tmp_path, "a: 1\nname: 满200减50 \U00020000\n".encode("gb18030"))
    with pytest.raises(BadFile, match=f"^{file}:2: is not UTF-8 text; it looks like GB18030; .* iconv -f GB18030 "):
        source()


@pytest.mark.parametrize("text", ["für 5 £", "Ünï", "\u00e9\u00e8t\u00e9"])
def test_western_text_is_not_taken_for_chinese(tmp_path, text):
    file, source = read(tmp_path, f"a: {text}\n".encode("latin-1"))
    with pytest.raises(BadFile) as caught:
        source()
    assert caught.value.told == (f"{file}:1: is not UTF-8 text; save the file as UTF-8",)


@pytest.mark.parametrize("content", ["a: [1\nb: 2\n", "a: 'x\n", "a: b: c\n", "a: @b\n", "%YAML 9\n--- a: 1"])
def test_broken_yaml_is_named_with_its_line(tmp_path, content):
    file, source = read(tmp_path, content)
    with pytest.raises(BadFile) as caught:
        source()
    (line,) = caught.value.told
    assert line.startswith(f"{file}:")
    assert "cannot be read: " in line


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_a_file_that_ends_too_early_is_named_with_a_line_that_it_has(tmp_path, loader, monkeypatch):
    """As a copy that was cut off: at each of its characters, with and without an end of the line."""
    monkeypatch.setattr("redemption.cli.input.source_file._Loader", loader)
    whole = "a: [{b: 1, 'c\uff1a':2},\n  {d: [e, {f: \"g\"}],\n\th: i}]\nj:\n- {k: l}\n"
    for cut, end in itertools.product(range(1, len(whole)), ("", "\n")):
        text = whole[:cut] + end
        file, source = read(tmp_path, text)
        try:
            source()
        except BadFile as error:
            for told in error.told:
                line = int(told.removeprefix(f"{file}:").split(":")[0])
                assert 1 <= line <= len(text.splitlines()), text


@pytest.mark.parametrize("loader", [yaml.SafeLoader, yaml.CSafeLoader])
def test_half_a_character_is_refused(tmp_path, loader, monkeypatch):
    monkeypatch.setattr("redemption.cli.input.source_file._Loader", loader)
    file, source = read(tmp_path, 'a: 1\nb: "\\ud83d"\n')
    with pytest.raises(BadFile) as caught:
        source()
    (line,) = caught.value.told
    assert line.startswith(f"{file}:2: ")


def test_json_escapes_mean_what_they_mean_in_json(tmp_path):
    value = {"emoji": "\U0001f600", "backslash": "\\ud83d\\ude00", "tab": "a\tb", "slash": "a/b"}
    _, source = read(tmp_path, json.dumps(value).replace("a/b", "a\\/b"), "file.json")
    assert plain(source().root) == value


def test_a_byte_order_mark_is_no_part_of_the_text(tmp_path):
    _, source = read(tmp_path, b"\xef\xbb\xbfa: 1\n")
    assert plain(source().root) == {"a": "1"}


def test_a_file_that_is_not_there_is_one_line(tmp_path):
    file = tmp_path / "none.yaml"
    with pytest.raises(BadFile) as caught:
        read_source(file)
    assert caught.value.told == (f"{file}: cannot be read: No such file or directory",)


def test_a_file_is_read_no_further_than_it_is_understood(tmp_path, monkeypatch):
    """Input nested half a million levels deep is refused at the first level that is too deep; the rest is not read."""
    parse, read_events = yaml.parse, []

    def counted(text, Loader):  # noqa: N803 - as it is called
        for event in parse(text, Loader=Loader):
            read_events.append(event)
            yield event

    monkeypatch.setattr(yaml, "parse", counted)
    _, source = read(tmp_path, "[" * 2**19)
    with pytest.raises(BadFile, match=f"nested deeper than {DEPTH_MAX} levels"):
        source()
    assert len(read_events) == 2 + DEPTH_MAX + 1, "the start of stream and document, and the levels"
