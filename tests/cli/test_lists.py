"""``deny`` and ``allow``: whom a program refuses or exempts, in requests of the size that the server takes."""
# ruff: noqa: E501 - what is printed is compared in one piece.

import io
import json
from types import SimpleNamespace

import grpc
import pytest
from cli.conftest import IN_JUNE_2026
from fake_server import failing
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import rules_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import ListCampaignsResponse
from redemption.v1.risk_service_pb2 import (
    AddListEntriesResponse,
    ListListEntriesResponse,
    RemoveListEntriesResponse,
)

DAY = 86_400


def both(count):
    return f"both lists have {count} of at most 100,000 entries\n"


@pytest.fixture
def many(tmp_path):
    """A file with 2,500 devices."""
    file = tmp_path / "devices.txt"
    file.write_text("".join(f"d-{number}\n" for number in range(2500)))
    return file


def test_who_is_named_is_added(ask, fake, desk):
    campaign = Campaign(number=3, name="618 满200减50")
    fake.answers["ListCampaigns"] = ListCampaignsResponse(campaigns=[campaign])
    ended = ask(
        *("deny", "add", "--customer", "张三", "--person", "p", "--device", "d-1", "--device", "d-2"),
        *("--network", "192.0.2.0/24", "--payment", "f", "--coupon", "3:17", "--coupon", "618 满200减50:18"),
        *("--reason", "脚本", "--expires", "7d", "--program", "shop"),
    )
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"deny list of program shop: 8 added; {both(8)}"
    (request,) = fake.asked["AddListEntries"]
    assert list(request.subjects) == [
        v1.RiskSubject(customer_id="张三"),
        v1.RiskSubject(person_id="p"),
        v1.RiskSubject(device_id="d-1"),
        v1.RiskSubject(device_id="d-2"),
        v1.RiskSubject(network="192.0.2.0/24"),
        v1.RiskSubject(payment_fingerprint="f"),
        v1.RiskSubject(coupon=v1.CouponSerial(campaign=3, serial=17)),
        v1.RiskSubject(coupon=v1.CouponSerial(campaign=3, serial=18)),
    ]
    assert (request.program, request.list, request.reason) == ("shop", v1.LIST_KIND_DENY, "脚本")
    assert request.expire_time == Timestamp(seconds=IN_JUNE_2026 + 7 * DAY)


def test_a_digest_that_fraud_top_printed_is_added(ask, fake, desk):
    """Nobody knows the id behind it."""
    ended = ask("deny", "add", "--id", "device:0123456789abcdef", "--device", "d-1")
    assert (ended.code, ended.out) == (0, f"deny list of program demo: 2 added; {both(2)}")
    (request,) = fake.asked["AddListEntries"]
    assert [ref.id for ref in request.refs] == ["0123456789abcdef"]
    assert [subject.device_id for subject in request.subjects] == ["d-1"]


def test_a_wide_range_is_added_with_consent(ask, desk):
    assert ask("deny", "add", "--network", "2600::/12", "--yes").code == 0
    assert ask("deny", "add", "--network", "10.0.0.0/8", "--network", "2001::/16").code == 0
    assert ask("deny", "remove", "--network", "2600::/12").code == 0


@pytest.mark.parametrize("width", [80, 200])
def test_what_list_prints_is_a_file_that_can_be_removed(ask, desk, tmp_path, monkeypatch, width):
    """The whole of it, in wide and in narrow terminals, and what stands in front of the columns alone."""
    monkeypatch.setattr("redemption.cli.output.lists.stdout", lambda: SimpleNamespace(width=width))
    file = tmp_path / "listed.txt"
    for only_first in (False, True):
        ask("deny", "add", "--device", "d-1", "--network", "192.0.2.0/24", "--reason", "device d-9")
        lines = ask("deny", "list").out.splitlines()
        assert len(lines) == (6 if width == 80 else 4)
        file.write_text("\n".join(line.partition("   ")[0] if only_first else line for line in lines))
        ended = ask("deny", "remove", "--file", file)
        assert (ended.code, ended.out, ended.err) == (0, f"deny list of program demo: 2 removed; {both(0)}", "")


def test_with_a_kind_every_line_is_an_id(ask, fake, desk, tmp_path):
    file = tmp_path / "ids.txt"
    file.write_text("subject   until\n# vip\n    d-1\n")
    assert ask("deny", "add", "--file", file, "--kind", "device").code == 0
    assert [each.device_id for each in fake.asked["AddListEntries"][0].subjects] == ["subject   until", "d-1"]


def test_it_is_told_how_many_were_there_already(ask, desk):
    ask("allow", "add", "--device", "d-1")
    ended = ask("allow", "add", "--device", "d-1", "--device", "d-2", "--device", "d-2", "--reason", "ours")
    assert ended.out == f"allow list of program demo: 1 added, 1 there already, changed, 1 given twice; {both(2)}"
    assert [entry.reason for entry in desk.entries.values()] == ["ours", "ours"]
    assert {entry.list for entry in desk.entries.values()} == {v1.LIST_KIND_ALLOW}


def test_a_file_is_sent_in_parts_of_at_most_1000(ask, fake, desk, many):
    ended = ask("deny", "add", "--file", many, "--kind", "device")
    assert (ended.code, ended.out) == (0, f"deny list of program demo: 2,500 added; {both('2,500')}")
    assert [len(request.subjects) for request in fake.asked["AddListEntries"]] == [1000, 1000, 500]
    assert fake.asked["AddListEntries"][2].subjects[-1] == v1.RiskSubject(device_id="d-2499")


def test_ids_can_come_from_standard_input(ask, fake, desk, monkeypatch):
    """Those that are typed stay in the shell's history; the help says so."""
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO("# vip\ncustomer 张三\n".encode())))
    assert ask("allow", "add", "--file", "-").code == 0
    assert fake.asked["AddListEntries"][0].subjects[0].customer_id == "张三"
    for command in ("add", "remove"):
        text = " ".join(ask("deny", command, "--help").out.split())
        assert "Ids of people that are typed stay in the shell's history: give them with --file -." in text


def test_of_a_file_with_a_bad_line_nothing_is_sent(ask, fake, desk, tmp_path):
    file = tmp_path / "devices.txt"
    file.write_text("device a\nphone b\n" + "device c\n" * 3000 + "network 192.0.2.1/24\n")
    ended = ask("deny", "add", "--file", file)
    assert (ended.code, ended.out, dict(fake.asked)) == (2, "", {})
    assert [line.removeprefix(f"{file}:").partition(":")[0] for line in ended.err.splitlines()] == ["2", "3003"]


def test_more_than_there_can_be_room_for_is_refused_before_anything_is_sent(ask, fake, desk, many, monkeypatch):
    """Whether entries that are there leave room, the server knows: some of them may be the same."""
    monkeypatch.setattr("redemption.cli.list_changes.ENTRIES_MAX", 2_499)
    ended = ask("deny", "add", "--file", many, "--kind", "device")
    told = "there is no room: 2,500 to add, and both lists together have room for 2,499 entries; nothing was sent"
    assert (ended.code, ended.err, dict(fake.asked)) == (2, f"redemption: {told}\n", {})
    assert ask("deny", "add", "--file", many, "--kind", "device", "--skip", "1").code == 0


def test_near_the_bound_the_same_can_be_added_again(ask, fake, desk, many):
    ask("deny", "add", "--file", many, "--kind", "device")
    fake.answers["ListListEntries"] = ListListEntriesResponse(total=99_500)
    ended = ask("deny", "add", "--file", many, "--kind", "device")
    assert (ended.code, ended.out) == (0, f"deny list of program demo: 2,500 added or changed; {both('2,500')}")


def test_what_the_server_rejects_says_what_was_added_before(ask, fake, desk, many):
    """The same command would be rejected again."""
    add = fake.answers["AddListEntries"]

    def once(request, context):
        if len(fake.asked["AddListEntries"]) == 2:
            failing(grpc.StatusCode.FAILED_PRECONDITION, "no room", reason="LIMIT_REACHED")(request, context)
        return add(request, context)

    fake.answers["AddListEntries"] = once
    ended = ask("deny", "add", "--file", many, "--kind", "device")
    told = "FAILED_PRECONDITION: no room; 1,000 of 2,500 were added"
    assert (ended.code, ended.err) == (2, f"redemption: {told}\n")


def test_an_interrupted_command_says_how_to_go_on(ask, fake, desk, many):
    """It can be repeated as it is, too."""
    add = fake.answers["AddListEntries"]

    def twice(request, context):
        if len(fake.asked["AddListEntries"]) == 3:
            failing(grpc.StatusCode.INTERNAL, "a defect", reason="INTERNAL")(request, context)
        return add(request, context)

    fake.answers["AddListEntries"] = twice
    ended = ask("deny", "add", "--file", many, "--kind", "device", "--json")
    hint = "2,000 of 2,500 were added; the same command adds the rest, and with --skip 2000 only the rest"
    assert (ended.code, ended.err) == (4, f"redemption: INTERNAL: a defect; {hint}\n")
    failed = json.loads(ended.out)
    assert (failed["done"], failed["error"]["reason"]) == (2000, "INTERNAL")
    fake.answers["AddListEntries"] = add
    assert ask("deny", "add", "--file", many, "--kind", "device", "--skip", "2000").code == 0
    assert len(desk.entries) == 2500


@pytest.mark.parametrize(
    ("verb", "told"),
    [
        ("add", "2,000 of 2,500 were added; the same command adds the rest, and with --skip 2000 only the rest"),
        ("remove", "2,000 were removed; the same command removes the rest"),
    ],
)
def test_ctrl_c_says_what_was_done(ask, desk, many, monkeypatch, verb, told):
    if verb == "remove":
        ask("deny", "add", "--file", many, "--kind", "device")

    def interrupted(steps, *_):
        next(steps)
        next(steps)
        raise KeyboardInterrupt

    monkeypatch.setattr("redemption.cli.list_runs._take", interrupted)
    ended = ask("deny", verb, "--file", many, "--kind", "device")
    assert (ended.code, ended.out, ended.err) == (130, "", f"redemption: interrupted; {told}\n")


def test_who_is_named_is_removed_also_by_what_list_prints(ask, fake, desk):
    ask("deny", "add", "--device", "d-1", "--device", "d-2", "--network", "192.0.2.0/24", "--coupon", "3:17")
    listed = json.loads(ask("deny", "list", "--json").out)["entries"]
    (digest,) = [entry["subject"]["id"] for entry in listed if entry["subject"]["id"].endswith("2")]
    ended = ask(
        *("deny", "remove", "--device", "d-1", "--id", f"device:{digest}", "--id", "network:192.0.2.0/24"),
        *("--id", "coupon:3:17", "--id", "coupon:3:17", "--device", "nobody"),
    )
    assert (ended.code, ended.out) == (
        0,
        f"deny list of program demo: 4 removed, 1 not there, 1 given twice; {both(0)}",
    )
    assert [(len(each.subjects), len(each.refs)) for each in fake.asked["RemoveListEntries"]] == [(2, 3)]
    assert desk.entries == {}


def test_a_file_is_removed_in_parts_and_again_without_harm(ask, fake, desk, many):
    ask("deny", "add", "--file", many, "--kind", "device")
    assert (
        ask("deny", "remove", "--file", many, "--kind", "device").out
        == f"deny list of program demo: 2,500 removed; {both(0)}"
    )
    assert [len(each.subjects) for each in fake.asked["RemoveListEntries"]] == [1000, 1000, 500]
    ended = ask("deny", "remove", "--file", many, "--kind", "device")
    assert (ended.code, ended.out) == (0, f"deny list of program demo: 0 removed, 2,500 not there; {both(0)}")


def entry(kind, known, **fields):
    fields = {"add_time": Timestamp(seconds=IN_JUNE_2026), "principal": "ann", "list": 1} | fields
    return v1.ListEntry(subject=v1.SubjectRef(kind=kind, id=known), **fields)


ENTRIES = [
    entry(v1.SUBJECT_KIND_CUSTOMER, "0123456789abcdef", reason="脚本 of a group"),
    entry(v1.SUBJECT_KIND_NETWORK, "192.0.2.0/24", expire_time=Timestamp(seconds=IN_JUNE_2026 + DAY)),
    entry(v1.SUBJECT_KIND_COUPON, "3:17", expire_time=Timestamp(seconds=IN_JUNE_2026 - DAY), reason="a\x1b[31m"),
]


@pytest.fixture
def _utc(monkeypatch):
    """Instants are told in the machine's zone."""
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def pages(request, _context):
    """A page has one entry."""
    number = int(request.page_token or 0)
    more = str(number + 1) if number + 1 < len(ENTRIES) else ""
    return ListListEntriesResponse(entries=[ENTRIES[number]], next_page_token=more, total=7)


@pytest.mark.usefixtures("_utc")
def test_every_page_is_listed(ask, fake):
    fake.answers["ListListEntries"] = pages
    ended = ask("deny", "list")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == (
        "subject                     until              since              by    reason\n"
        "customer:0123456789abcdef   for good           2026-06-09 10:13   ann   脚本 of a group\n"
        "network:192.0.2.0/24        2026-06-10 10:13   2026-06-09 10:13   ann\n"
        "coupon:3:17                 expired            2026-06-09 10:13   ann   a\ufffd[31m\n"
        "deny list of program demo: 3 on it; both lists have 7 of at most 100,000 entries\n"
    )
    assert [(request.list, request.page_token) for request in fake.asked["ListListEntries"]] == [(1, ""), (1, "1"), (1, "2")]  # fmt: skip


@pytest.mark.usefixtures("_utc")
def test_in_a_narrow_terminal_a_reason_has_its_own_line(ask, fake, monkeypatch):
    """Else the subject would be broken, and could not be copied."""
    fake.answers["ListListEntries"] = pages
    monkeypatch.setattr("redemption.cli.output.lists.stdout", lambda: SimpleNamespace(width=80))
    lines = ask("deny", "list").out.splitlines()
    assert lines[1:4] == [
        "customer:0123456789abcdef   for good           2026-06-09 10:13   ann",
        "    脚本 of a group",
        "network:192.0.2.0/24        2026-06-10 10:13   2026-06-09 10:13   ann",
    ]


def test_an_empty_list_is_told(ask, desk):
    ended = ask("allow", "list")
    assert (ended.code, ended.out) == (0, f"allow list of program demo: 0 on it; {both(0)}")


def test_json_is_the_answer_of_the_contract(ask, fake, desk, many):
    """Of all requests together."""
    ended = ask("deny", "add", "--file", many, "--kind", "device", "--json")
    added = json_format.Parse(ended.out, AddListEntriesResponse())
    assert (len(added.entries), added.total) == (2500, 2500)
    listed = json_format.Parse(ask("deny", "list", "--json").out, ListListEntriesResponse())
    assert (len(listed.entries), listed.total, listed.next_page_token) == (2500, 2500, "")
    ended = ask("deny", "remove", "--file", many, "--kind", "device", "--device", "x", "--json")
    assert json_format.Parse(ended.out, RemoveListEntriesResponse()) == RemoveListEntriesResponse(removed=2500)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("deny", "add"), "say whom: give --customer, --person, --device, --network, --payment, --coupon, --id or --file FILE"),
        (("deny", "add", "--device", "a", "--skip", "1"), "--skip leaves out lines of a file: give --file FILE too"),
        (("allow", "add", "--id", "coupon:3:17"), "a coupon can be denied, and not allowed: allow its customer instead"),
        (("deny", "add", "--network", "0.0.0.0/0"), "--network: is wider than /8; name the ranges that are meant; it is '0.0.0.0/0'"),
        (("deny", "add", "--network", "10.0.0.1/1"), "--network: is wider than /8; name the ranges that are meant; it is '10.0.0.1/1'"),
        (("deny", "add", "--id", "network:2600::/12"), "2600::/12 is wider than /16: it has 1 of 4,096 of all addresses of IPv6: give --yes if that is meant"),
        (("deny", "add", "--network", "2600::1/12"), "--network: has bits set behind the prefix; it is '2600::1/12'"),
        (("deny", "remove"), "say whom: give --customer, --person, --device, --network, --payment, --coupon, --id or --file FILE"),
        (("deny", "add", "--kind", "device", "--device", "a"), "--kind says what the lines of a file are: give --file FILE too"),
        (("allow", "add", "--coupon", "3:17"), "a coupon can be denied, and not allowed: allow its customer instead"),
        (("deny", "add", "--network", "192.0.2.1/24"), "--network: has bits set behind the prefix; did you mean 192.0.2.0/24?"),
        (("deny", "add", "--coupon", "17"), "--coupon: must be CAMPAIGN:SERIAL, such as 3:17; it is '17'"),
        (("deny", "remove", "--id", "17"), "--id: must be as list prints it, such as device:0123456789abcdef; it is '17'"),
        (("deny", "add", "--device", "a", "--expires", "soon"), "--expires: must be a length of time in s, m, h or d such as 7d, or an instant such as 2026-11-12T00:00+08:00; it is 'soon'"),
        (("deny", "add", "--device", "a", "--expires", "2026-11-12 00:00"), "--expires: needs an offset, such as 2026-11-12 00:00+08:00"),
        (("deny", "add", "--device", "a", "--expires", "2026-05-12T00:00Z"), "--expires: has passed: the entries would do nothing; it is '2026-05-12T00:00Z'"),
        (("deny", "add", "--device", "a", "--expires", "2026-11-12T00:00:00.5Z"), "--expires: must be a whole second; it is '2026-11-12T00:00:00.5Z'"),
        (("deny", "add", "--device", "a", "--expires", "500ms"), "--expires: must be 1s or more; it is '500ms'"),
    ],
)  # fmt: skip
def test_a_mistake_is_one_line_and_nothing_is_sent(ask, fake, arguments, told):
    ended = ask(*arguments)
    assert (ended.code, ended.out, ended.err, dict(fake.asked)) == (2, "", f"redemption: {told}\n", {})


def test_a_coupon_of_no_campaign_is_warned_of(ask, desk):
    """Nobody has one, so the number is surely a slip."""
    ended = ask("deny", "add", "--coupon", "99:5", "--coupon", "1:5")
    told = "warning: there is no campaign 99 in program demo: nobody can have its coupons\n"
    assert (ended.code, ended.err) == (0, told)


def test_a_coupon_is_not_offered_to_those_who_allow(ask):
    assert [("--coupon" in ask(name, "add", "--help").out) for name in ("deny", "allow")] == [True, False]


def test_a_campaign_that_is_not_there_is_named_before_anything_is_sent(ask, fake, desk):
    fake.answers["ListCampaigns"] = ListCampaignsResponse()
    ended = ask("deny", "add", "--coupon", "满200:17", "--device", "d")
    assert (ended.code, ended.err) == (2, "redemption: there is no campaign called '满200' in this program\n")
    assert fake.asked["AddListEntries"] == []
