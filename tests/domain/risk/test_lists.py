"""The lists of a program in memory: what is found, what has expired, and pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from redemption.domain.risk import lists as module
from redemption.domain.risk.lists import ListEntry, ListKind, Lists, entry_key, entry_subject
from redemption.domain.risk.network import read_address, read_range
from redemption.domain.risk.subjects import Subject, SubjectKind, coupon_subject, range_subject
from redemption.domain.steps import finished

DENY, ALLOW = ListKind.DENY, ListKind.ALLOW
ADDRESS = read_address("192.0.2.7")


def customer(number):
    return Subject(SubjectKind.CUSTOMER, number.to_bytes(8))


def around(text):
    return range_subject(read_range(text))


def entry(subject, kind=DENY, *, expires_at=0, reason=""):
    return ListEntry(kind, subject, reason, expires_at, 1, "operator")


def lists_of(*entries):
    lists = Lists()
    for each in entries:
        lists.put(each)
    return lists


@pytest.mark.parametrize(
    "subject", [customer(1), coupon_subject(2**32 - 1, 2**40 - 1), around("192.0.2.0/24"), around("2001:db8::/32")]
)
def test_the_name_of_an_entry_says_its_list_and_its_subject(subject):
    for kind in ListKind:
        assert entry_subject(entry_key(kind, subject)) == (kind, subject)


@pytest.mark.parametrize("key", [b"\x00\x01" + bytes(8), b"\x03\x01" + bytes(8), b"\x01\x00", b"\x01\x08" + bytes(8)])
def test_a_name_of_a_later_version_is_an_error(key):
    with pytest.raises(ValueError, match="unknown"):
        entry_subject(key)


def test_an_entry_is_found_in_its_list_until_it_expires():
    lists = lists_of(entry(customer(1), expires_at=100), entry(customer(2), ALLOW))
    assert lists.get(DENY, SubjectKind.CUSTOMER, customer(1).id, 99) == entry(customer(1), expires_at=100)
    assert lists.get(DENY, SubjectKind.CUSTOMER, customer(1).id, 100) is None
    assert lists.get(DENY, SubjectKind.PERSON, customer(1).id, 0) is None
    assert lists.get(DENY, SubjectKind.CUSTOMER, customer(2).id, 0) is None
    assert lists.get(ALLOW, SubjectKind.CUSTOMER, customer(2).id, 2**40) is not None
    assert lists.find(entry(customer(1)).key) == entry(customer(1), expires_at=100)
    assert lists.find(b"\x01") is None


def test_a_range_is_found_around_an_address_also_behind_one_that_has_expired():
    lists = lists_of(entry(around("192.0.2.0/24"), expires_at=100), entry(around("192.0.0.0/16")))
    assert lists.around(DENY, ADDRESS, 99).subject == around("192.0.2.0/24")
    assert lists.around(DENY, ADDRESS, 100).subject == around("192.0.0.0/16")
    assert lists.around(ALLOW, ADDRESS, 0) is None
    assert len(list(lists.all_around(DENY, ADDRESS))) == 2
    lists.remove(entry(around("192.0.0.0/16")).key)
    assert lists.around(DENY, ADDRESS, 100) is None


def test_what_kinds_of_subjects_there_are_follows_the_entries():
    """An entry that is replaced counts once; one that is not there cannot be removed."""
    lists = Lists()
    assert not lists
    for reason in ("a", "b"):
        lists.put(entry(around("192.0.2.0/24"), reason=reason))
    assert (len(lists), lists.names(SubjectKind.RANGE), lists.names(SubjectKind.CUSTOMER)) == (1, True, False)
    lists.put(entry(customer(1)))
    lists.put(entry(customer(1), ALLOW))
    lists.remove(entry(customer(1)).key)
    assert lists.names(SubjectKind.CUSTOMER)
    for key in (entry(customer(1), ALLOW).key, entry(customer(1), ALLOW).key, entry(around("192.0.2.0/24")).key):
        lists.remove(key)
    assert not lists
    assert not any(lists.names(kind) for kind in SubjectKind)
    assert lists.around(DENY, ADDRESS, 0) is None


SUBJECTS = st.one_of(st.integers(0, 300).map(customer), st.integers(0, 9).map(lambda serial: coupon_subject(7, serial)))


@given(
    st.sets(st.tuples(st.sampled_from(ListKind), SUBJECTS), max_size=60), st.sampled_from([None, *ListKind]), st.data()
)
def test_pages_have_every_entry_once_and_in_order(wanted, kind, data):
    size = data.draw(st.integers(1, 20))
    lists = lists_of(*(entry(subject, of) for of, subject in wanted))
    names, found = [entry_key(*each) for each in wanted if kind in (None, each[0])], []
    page, after = finished(lists.after_steps(b"", kind, size))
    while after:
        assert len(page) == size
        found += [each.key for each in page]
        page, after = finished(lists.after_steps(after, kind, size))
    assert len(page) <= size
    found += [each.key for each in page]
    assert found == sorted(names)


def test_a_long_list_is_looked_at_in_steps_and_may_change_between_them(monkeypatch):
    monkeypatch.setattr(module, "NAMES_AT_ONCE", 10)
    lists = lists_of(*(entry(customer(number), expires_at=1) for number in range(100)))
    steps = lists.after_steps(b"", None, 5)
    for _ in range(10):
        next(steps)
    lists.remove(entry(customer(2)).key)
    lists.put(entry(customer(1000)))
    page, after = finished(steps)
    assert [each.subject for each in page] == [customer(number) for number in (0, 1, 3, 4)]
    assert after == entry(customer(4)).key
    assert sum(1 for _ in lists.after_steps(b"", None, 5)) == 10


def test_entries_that_have_expired_are_found_up_to_a_number():
    lists = lists_of(*(entry(customer(number), expires_at=number) for number in range(10)))
    assert len(finished(lists.expired_steps(5, 100))) == 5  # 1 to 5: 0 never expires
    assert len(finished(lists.expired_steps(5, 3))) == 3
    assert finished(lists.expired_steps(0, 100)) == []
