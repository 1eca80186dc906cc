"""Entries of lists are converted as a whole, or refused with the name of the field."""

import pytest
from builders.times import NOW
from google.protobuf.timestamp_pb2 import Timestamp
from rpc.examples import ENTRY, RANGE, SUBJECTS

from redemption.domain.errors import InvalidRequest, NotBuilt
from redemption.domain.risk.given_subjects import GivenRef, GivenSubject
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.subjects import SubjectKind
from redemption.domain.steps import finished
from redemption.rpc.convert.listed import entry_of, key_from, list_kind_from, unwanted_steps, wanted_steps
from redemption.service.risk_lists import EntriesUnwanted, EntriesWanted
from redemption.v1 import rules_pb2
from redemption.v1.risk_service_pb2 import AddListEntriesRequest, RemoveListEntriesRequest

GIVEN = [
    GivenSubject(SubjectKind.CUSTOMER, "customer-1"),
    GivenSubject(SubjectKind.PERSON, "person-1"),
    GivenSubject(SubjectKind.DEVICE, "device-1"),
    GivenSubject(SubjectKind.NETWORK, "192.0.2.0/24"),
    GivenSubject(SubjectKind.PAYMENT, "fingerprint-1"),
    GivenSubject(SubjectKind.COUPON, campaign=7, serial=42),
]


def test_entries_to_add_and_to_remove():
    add = AddListEntriesRequest(list=2, subjects=SUBJECTS, reason="a", expire_time=Timestamp(seconds=NOW))
    assert finished(wanted_steps(add)) == EntriesWanted(ListKind.ALLOW, GIVEN, "a", NOW * 1000, [])
    refs = [{"kind": kind, "id": "x"} for kind in range(1, 7)]
    remove = RemoveListEntriesRequest(list=1, subjects=SUBJECTS, refs=refs)
    expected = [GivenRef(SubjectKind(kind), "x") for kind in range(1, 7)]
    added = AddListEntriesRequest(list=1, subjects=SUBJECTS, refs=refs)
    assert finished(wanted_steps(added)) == EntriesWanted(ListKind.DENY, GIVEN, refs=expected)
    assert finished(unwanted_steps(remove)) == EntriesUnwanted(ListKind.DENY, GIVEN, expected)


@pytest.mark.parametrize(
    ("request_", "fields"),
    [
        (AddListEntriesRequest(subjects=SUBJECTS), ["list"]),
        (AddListEntriesRequest(list=9, subjects=SUBJECTS), ["list"]),
        (AddListEntriesRequest(list=1, subjects=[{}, SUBJECTS[0], {}]), ["subjects[0]", "subjects[2]"]),
        (AddListEntriesRequest(list=1, expire_time=Timestamp(nanos=1_000_000)), ["expire_time"]),
        (AddListEntriesRequest(list=1, refs=[{"kind": 1}, {"id": "x"}]), ["refs[1].kind"]),
        (RemoveListEntriesRequest(), ["list"]),
        (RemoveListEntriesRequest(list=1, subjects=[{}]), ["subjects[0]"]),
        (RemoveListEntriesRequest(list=1, refs=[{"kind": 1}, {"kind": 9}]), ["refs[1].kind"]),
        (RemoveListEntriesRequest(list=1, refs=[{"id": "x"}]), ["refs[0].kind"]),
    ],
)
def test_what_the_domain_cannot_hold_is_refused_by_its_field(request_, fields):
    steps = wanted_steps if isinstance(request_, AddListEntriesRequest) else unwanted_steps
    with pytest.raises(InvalidRequest) as refused:
        finished(steps(request_))
    assert [violation.field for violation in refused.value.violations] == fields


def test_a_subject_of_a_later_contract_is_refused():
    """Which of its fields is not known is told; else an operator would believe that somebody is denied."""
    subject = rules_pb2.RiskSubject.FromString(b"\xf8\x07\x01")
    with pytest.raises(NotBuilt, match=r"subjects\[0\].*127"):
        finished(wanted_steps(AddListEntriesRequest(list=1, subjects=[subject])))


def test_at_most_fifty_wrong_subjects_are_told():
    with pytest.raises(InvalidRequest) as refused:
        finished(wanted_steps(AddListEntriesRequest(list=1, subjects=[{}] * 1000)))
    assert len(refused.value.violations) == 50


def test_an_entry_is_shown_as_it_is_kept():
    assert entry_of(ENTRY) == rules_pb2.ListEntry(
        subject={"kind": rules_pb2.SUBJECT_KIND_CUSTOMER, "id": "0001020304050607"},
        list=rules_pb2.LIST_KIND_DENY,
        reason="resale",
        expire_time=Timestamp(seconds=NOW + 60),
        add_time=Timestamp(seconds=NOW),
        principal="operator",
    )
    shown = entry_of(RANGE)
    assert (shown.subject.kind, shown.subject.id) == (rules_pb2.SUBJECT_KIND_NETWORK, "192.0.2.0/24")
    assert not shown.HasField("expire_time")


def test_the_list_of_a_request():
    assert [list_kind_from(number) for number in (0, 1, 2)] == [None, ListKind.DENY, ListKind.ALLOW]
    with pytest.raises(InvalidRequest, match="list: is 3"):
        list_kind_from(3)


def test_a_page_token_is_one_of_ours_or_refused():
    assert (key_from(""), key_from("0104ff")) == (b"", b"\x01\x04\xff")
    with pytest.raises(InvalidRequest, match="page_token"):
        key_from("2")
