"""Slips that the YAML parser reports in its own words, or in a later line, are named with the line and the cure."""
# ruff: noqa: RUF001 - these are the signs that people type.

import pytest

from redemption.cli.campaign_file.reading import read_campaign
from redemption.cli.exits import BadFile
from redemption.cli.input.order_file import read_checkout

TAB = "is indented with a tab; use spaces"
COMMA, COLON = "has the full-width '，' (U+FF0C); write ','", "has the full-width '：' (U+FF1A); write ':'"
OPEN, CLOSE = "has the full-width '｛' (U+FF5B); write '{'", "has the full-width '｝' (U+FF5D); write '}'"


def no_blank(name):
    return f"has no blank after '{name}:'; write a blank after the colon"


SLIPS = [
    ("offers:\n\t- name: x\n", {2: [TAB]}),
    ("limits:\n\tissued: 1000\n", {2: [TAB]}),
    ("limits:\n  issued: 1\n  \tredemptions: 5\n", {3: [TAB]}),
    ("name: x\n\tcurrency_code: CNY\n", {2: [TAB]}),
    ("offers:\n-\tname: x\n  note: y\n", {2: ["has a tab behind the hyphen; use a blank"]}),
    ("offers:\n  - percent_off: {percent: 10%， cap: 50.00}\n", {2: [COMMA]}),
    ("a: {percent: 10%，cap: 50.00}\nb: c\n", {1: [COMMA]}),
    ("a: {percent: 10%,\n    cap: 5， d: e}\nb: c\n", {2: [COMMA]}),
    ("a: [b: c，d: e]\n", {1: [COMMA]}),
    ("a: {b: 'x，y', c: d， e: f} # ：\n", {1: [COMMA]}),
    ("a: ｛percent: 10%, cap: 50.00｝\nb: c\n", {1: [OPEN, CLOSE]}),
    ("a: ｛\n  percent: 10%\n", {1: [OPEN]}),
    ("a: {b: 1, c: 2｝\nd: e\n", {1: [CLOSE]}),
    ("conditions: {include： {categories: [a, b]}}\n", {1: [COLON]}),
    ("a: {b: c，d：e， f: g}\n", {1: [COMMA, f"{COLON} and a blank"]}),
    ("a: “x: y”\n", {1: [f"has the typographic '{sign}' (U+{ord(sign):04X}); write '\"'" for sign in "“”"]}),
    ("limits:\n  issued:1000\n  redemptions: 5\n", {2: [no_blank("issued")]}),
    ("limits:\n  redemptions: 5\n  issued:1000\nname: x\n", {3: [no_blank("issued")]}),
    ("limits:\n  # why\n  issued:1000\n\n  # why\n  redemptions: 5\n", {3: [no_blank("issued")]}),
    ("limits:\n  a:1\n  b:2\n  c: 3\n", {2: [no_blank("a")], 3: [no_blank("b")]}),
    ("offers:\n- name:x\n  note: y\n", {2: [no_blank("name")]}),
    ("name:x\nnote: y\n", {1: [no_blank("name")]}),
]


def told(read, file):
    with pytest.raises(BadFile) as caught:
        read(file)
    return caught.value.lines


@pytest.mark.parametrize("read", [read_campaign, read_checkout])
@pytest.mark.parametrize(("text", "expected"), SLIPS)
def test_a_slip_is_named_with_its_own_line_and_the_cure(tmp_path, read, text, expected):
    """In campaigns and in orders, whether the parser stumbles over that line, over a later one, or reads it wrong."""
    file = tmp_path / "file.yaml"
    file.write_text(text)
    assert told(read, file) == tuple(f"{file}:{line}: {each}" for line in expected for each in expected[line])


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: {满200，减50: 3\n", "did not find expected ',' or '}'"),
        ("a: {b: [c, d]\nx: {y: z， w: v}\n", "did not find expected ',' or '}'"),
        ("name: 满200，减50\nx: 5%: 3\n", "mapping values are not allowed in this context"),
        ("a: http://x\n b: c\n", "mapping values are not allowed in this context"),
        ("a:\n- sku:1\n- b\n c: d\n", "mapping values are not allowed in this context"),
    ],
)
def test_what_is_not_the_cause_is_not_blamed(tmp_path, text, problem):
    """Without the sign or with the blank, the parser would get no further."""
    file = tmp_path / "file.yaml"
    file.write_text(text)
    (line,) = told(read_campaign, file)
    assert line.endswith(f": cannot be read: {problem}")


@pytest.mark.parametrize(
    ("line", "told_of_it"),
    [
        ("limits:\n  issued:1000", "2: " + no_blank("issued")),
        ("limits: {issued:1000}", "1: " + no_blank("issued")),
        ("limits: {issued：1000}", f"1: limits.issued：1000: is not a known field; did you mean issued?; it {COLON}"),
        ("limits: {issued： 1000}", f"1: limits.issued： 1000: is not a known field; did you mean issued?; it {COLON}"),
    ],
)
def test_a_slip_that_the_parser_reads_is_named_when_the_field_is_unknown(tmp_path, line, told_of_it):
    """YAML reads such a field and its value as one text."""
    file = tmp_path / "file.yaml"
    file.write_text(f"{line}\nname: x\n")
    assert f"{file}:{told_of_it}" in told(read_campaign, file)


def test_a_text_with_a_colon_is_no_slip(tmp_path):
    """Ids of articles often have one."""
    file = tmp_path / "file.yaml"
    file.write_text("offers:\n- conditions:\n    include:\n      skus: [sku:1, sku:2]\n    stores: shop:1\n")
    assert not any("write a blank" in line for line in told(read_campaign, file))


@pytest.mark.parametrize(
    "line",
    ["a: {b: c: x" + '\\"' * 500_000, "a: {b: c: x" + "，" * 300_000, "issued:1\n" * 100_000],
    ids=["quotes", "signs", "lines"],
)
def test_a_file_of_nothing_but_slips_takes_no_time(tmp_path, line):
    """As a file that is no campaign at all; without a bound the first one takes hours."""
    file = tmp_path / "file.yaml"
    file.write_text(f"{line}\nc: d\n")
    assert len(told(read_campaign, file)) <= 21


def test_json_has_the_signs_of_yaml(tmp_path):
    file = tmp_path / "file.json"
    file.write_text('{"name": "a，b"，\n\t"note": "x"}\n')
    assert told(read_campaign, file) == (f"{file}:1: {COMMA}",)
