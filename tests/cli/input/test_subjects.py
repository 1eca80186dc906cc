"""Whom a list names: options, lines of a file, and what a list prints."""
# ruff: noqa: E501 - each case is one line of the table.

import io
from pathlib import Path

import pytest

from redemption.cli.exits import BadFile, Stop
from redemption.cli.input.subjects import (
    Ref,
    Subject,
    file_subjects,
    possible_subjects,
    problem_of,
    ref_of,
    ref_text,
    typed_subjects,
)
from redemption.domain.risk.network import Range, read_range
from redemption.v1 import rules_pb2 as v1

KINDS = "customer, person, device, network, payment, coupon"


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        (Subject("customer", "张三"), v1.RiskSubject(customer_id="张三")),
        (Subject("person", "p 1"), v1.RiskSubject(person_id="p 1")),
        (Subject("device", "d-1"), v1.RiskSubject(device_id="d-1")),
        (Subject("network", "192.0.2.0/24"), v1.RiskSubject(network="192.0.2.0/24")),
        (Subject("payment", "f"), v1.RiskSubject(payment_fingerprint="f")),
        (Subject("coupon", "3:17"), v1.RiskSubject(coupon=v1.CouponSerial(campaign=3, serial=17))),
        (Subject("coupon", "11:11 满200:17"), v1.RiskSubject(coupon=v1.CouponSerial(campaign=4, serial=17))),
    ],
)
def test_each_kind_has_its_field_of_the_contract(subject, message):
    assert problem_of(subject) == ""
    assert subject.message({"3": 3, "11:11 满200": 4}) == message


@pytest.mark.parametrize(
    ("kind", "text", "problem"),
    [
        ("device", "", "is empty"),
        ("device", "x" * 129, "is longer than 128 bytes; it has 129"),
        ("customer", "张" * 43, "is longer than 128 bytes; it has 129"),
        ("device", "a\x1bb", "has a control character"),
        ("network", "192.0.2", "is no network address, such as 192.0.2.7; it is '192.0.2'"),
        ("network", "fe80::1%eth0", "is no network address, such as 192.0.2.7; it is 'fe80::1%eth0'"),
        ("network", "192.0.2.0/33", "is no range in CIDR notation, such as 192.0.2.0/24; it is '192.0.2.0/33'"),
        ("network", "192.0.2.1/24", "has bits set behind the prefix; did you mean 192.0.2.0/24?"),
        ("network", "2001:db8::/65", "is narrower than /64; IPv6 addresses are judged by their /64; it is '2001:db8::/65'"),
        ("coupon", "17", "must be CAMPAIGN:SERIAL, such as 3:17; it is '17'"),
        ("coupon", "3:x", "must be CAMPAIGN:SERIAL, such as 3:17; it is '3:x'"),
        ("coupon", "3:1099511627776", "has a serial above 1099511627775"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_subject_is_said(kind, text, problem):
    assert problem_of(Subject(kind, text)) == problem


@pytest.mark.parametrize(
    "text",
    [
        *("192.0.2.7", "::ffff:192.0.2.7", "2001:db8::7", "0.0.0.0/0", "192.0.2.7/32", "192.0.2.0/24", "2001:db8::/64"),
        *("2001:db8::/48", "::/0", "192.0.2.7/24", "2001:db8::7/64", "2001:db8::/72", "1.2.3.4/x", "localhost", "", "/8"),
        *("192.0.2.0/255.255.255.0", "01.2.3.4", "fe80::1%1", "fe80::%1/64", "192.0.2.0/0.0.0.255", "192.0.2.0/024"),
        *("::ffff:192.0.2.0/120", "::ffff:192.0.2.7/128", "::ffff:0:0/96", "::ffff:0:0/95", "::fffe:0:0/96", "10/8"),
        *("64:ff9b::192.0.2.7", "64:ff9b::/96", "64:ff9b::/95", "64:ff9b::/32", "64:ff9b:1::/48", "64:ff9b::7/128"),
        *("2002:c000:207::1", "2002::/16", "2002::/15", "2000::/3", "2002:c000:207::/48", "2003::/16"),
        *("10.0.0.0/8", "10.0.0.0/7", "::ffff:10.0.0.0/104", "::ffff:10.0.0.0/103", "2000::/8"),
    ],
)  # fmt: skip
def test_addresses_are_right_and_wrong_as_for_the_server(text):
    """Nothing may be sent of a file of which the server would refuse a line."""
    right = isinstance(read_range(text), Range | bytes)
    assert (problem_of(Subject("network", text)) == "") is right


def test_options_are_told_by_their_names():
    assert typed_subjects({"device": [" d-1\n", "d-2"], "customer": ()}) == [Subject("device", "d-1"), Subject("device", "d-2")]  # fmt: skip
    with pytest.raises(Stop) as caught:
        typed_subjects({"network": ["x", "192.0.2.7"], "coupon": ["3"]})
    assert [line.partition(":")[0] for line in caught.value.lines] == ["--network", "--coupon"]


def test_a_file_has_a_subject_a_line(tmp_path):
    file = tmp_path / "subjects.txt"
    file.write_bytes("\ufeff# of the incident\ndevice d-1\r\n\n  customer\t张 三 \ncoupon 满200:17".encode())
    assert file_subjects(file, None) == [Subject("device", "d-1"), Subject("customer", "张 三"), Subject("coupon", "满200:17")]  # fmt: skip


def test_a_line_may_be_what_a_list_prints(tmp_path):
    """With the columns that follow, too; with a kind, every line is an id."""
    file = tmp_path / "subjects.txt"
    text = "device:0123456789abcdef   for good   2026-06-09 10:13   ann   脚本 # 7\ncoupon:3:17\nnetwork:192.0.2.0/24\n"
    file.write_text(text)
    refs = [Ref("device", "0123456789abcdef"), Ref("coupon", "3:17"), Ref("network", "192.0.2.0/24")]
    assert file_subjects(file, None) == refs
    file.write_text("device:0123456789abcdef\n")
    assert file_subjects(file, "device") == [Subject("device", "device:0123456789abcdef")]


def test_one_value_is_one_line(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"d-1\nd-2\n")))
    with pytest.raises(Stop, match="standard input: has more than one line; give one id"):
        possible_subjects("-", "device")


def test_with_a_kind_a_line_is_the_id_alone(monkeypatch):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"d-1\ndevice d-2\n#x\n")))
    assert file_subjects(Path("-"), "device") == [Subject("device", "d-1"), Subject("device", "device d-2")]


@pytest.mark.parametrize(
    ("content", "kind", "told"),
    [
        (b"device a\nphone b\n\nnetwork c\n", None, [f":2: must be a kind, a blank and an id, such as 'device d-123', or give --kind for all lines; the kinds are {KINDS}", ":4: is no network address, such as 192.0.2.7; it is 'c'"]),
        (b"device\n", None, [":1: the id is missing: a line is a kind and an id, such as 'device d-123'"]),
        (b"device d-1 # a script\nnetwork 192.0.2.1 #\n", None, [f":{line}: has a comment behind the id; a comment needs a line of its own" for line in (1, 2)]),
        (b"d-1 # a script\n", "device", [":1: has a comment behind the id; a comment needs a line of its own"]),
        (b"# nobody\n\n", None, [": names nobody"]),
        (b"a\n\xff\n", "device", [":2: is not UTF-8 text; save the file as UTF-8"]),
        (b"x" * (16 * 1024 * 1024 + 1), "device", [": is larger than 16384 KiB"]),
        (b"x\n" * 30, "network", [*(f":{line}: is no network address, such as 192.0.2.7; it is 'x'" for line in range(1, 21)), ": and 10 more lines are wrong"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("piped", [False, True])
def test_each_bad_line_is_named_by_its_number(tmp_path, monkeypatch, content, kind, told, piped):
    file = tmp_path / "subjects.txt"
    file.write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))
    with pytest.raises(BadFile) as caught:
        file_subjects(Path("-") if piped else file, kind)
    name = "standard input" if piped else str(file)
    assert caught.value.lines == tuple(f"{name}{line}" for line in told)


@pytest.mark.parametrize(
    "text", ["device:0123456789abcdef", "customer:fedcba9876543210", "network:0123456789abcdef", "network:192.0.2.0/24", "coupon:3:17"]
)  # fmt: skip
def test_what_a_list_prints_is_read_back(text):
    assert ref_text(ref_of(f" {text}\n")) == text


@pytest.mark.parametrize("text", ["device:0123", "device", "phone:0123456789abcdef", "network:192.0.2.1/24", "coupon:a:17", "device:0123456789ABCDEF"])  # fmt: skip
def test_another_id_is_refused(text):
    with pytest.raises(Stop, match="--id: must be as list prints it, such as device:0123456789abcdef; it is"):
        ref_of(text)


@pytest.mark.parametrize(
    ("value", "kind", "kinds"),
    [
        ("d-1", None, ["customer", "person", "device", "payment"]),
        ("192.0.2.7", None, ["customer", "person", "device", "network", "payment"]),
        ("3:17", None, ["customer", "person", "device", "payment", "coupon"]),
        ("::1", None, ["customer", "person", "device", "network", "payment"]),
        ("满200:17", None, ["customer", "person", "device", "payment"]),
        ("满200:17", "coupon", ["coupon"]),
        ("d-1", "device", ["device"]),
    ],
)
def test_somebody_can_be_of_several_kinds(value, kind, kinds):
    assert [subject.kind for subject in possible_subjects(value, kind)] == kinds


@pytest.mark.parametrize(
    ("value", "kind", "told"), [("x", "network", "is no network address"), (" ", None, "is empty")]
)
def test_a_value_that_is_nobody_is_refused(value, kind, told):
    with pytest.raises(Stop, match=f"VALUE: {told}"):
        possible_subjects(value, kind)


def test_a_value_can_come_from_standard_input(monkeypatch):
    """An id that is typed stays in the shell's history."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("张三\n".encode())))
    assert possible_subjects("-", "customer") == [Subject("customer", "张三")]
