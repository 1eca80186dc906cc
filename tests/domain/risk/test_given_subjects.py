"""Subjects as operators name them: what they stand for, and what is wrong with them."""

import pytest
from builders.keysets import keyset_of

from redemption.domain.order import Customer, RiskContext
from redemption.domain.risk.given_subjects import FIELDS, GivenRef, GivenSubject, read_ref, read_subject
from redemption.domain.risk.lists import ListKind
from redemption.domain.risk.network import read_range
from redemption.domain.risk.subjects import Subject, SubjectKind, coupon_subject, digest_of, named, range_subject
from redemption.domain.signed.digest import Digests

KEYSET = keyset_of(environment="development", development=True, now=1_700_000_000)
DIGESTS = Digests(KEYSET.privacy_root, environment=KEYSET.environment).for_program("shop")
CUSTOMER = Customer("customer-1", person_id="person-1")
RISK = RiskContext("device-1", "2001:db8::7", "fingerprint-1")
PEOPLE = [kind for kind in FIELDS if kind is not SubjectKind.COUPON]


@pytest.mark.parametrize("kind", PEOPLE)
def test_a_subject_in_a_list_is_the_one_that_a_request_names(kind):
    text = named(kind, CUSTOMER, RISK)
    read = read_subject(GivenSubject(kind, text), DIGESTS, "subject")
    assert read == Subject(kind, digest_of(DIGESTS, kind, text))


def test_the_same_text_as_another_kind_is_another_subject():
    ids = {read_subject(GivenSubject(kind, "192.0.2.7"), DIGESTS, "subject").id for kind in PEOPLE}
    assert len(ids) == len(PEOPLE)


def test_ranges_and_coupons_are_kept_in_plain():
    found = read_subject(GivenSubject(SubjectKind.NETWORK, "192.0.2.0/24"), DIGESTS, "subject")
    assert found == range_subject(read_range("192.0.2.0/24"))
    assert read_subject(GivenSubject(SubjectKind.COUPON, campaign=7, serial=0), DIGESTS, "subject") == coupon_subject(
        7, 0
    )


@pytest.mark.parametrize(
    ("given", "field"),
    [
        *((GivenSubject(kind, ""), FIELDS[kind]) for kind in PEOPLE),
        *((GivenSubject(kind, "x" * 129), FIELDS[kind]) for kind in PEOPLE),
        (GivenSubject(SubjectKind.CUSTOMER, "名" * 43), "customer_id"),
        (GivenSubject(SubjectKind.NETWORK, "192.0.2.1/24"), "network"),
        (GivenSubject(SubjectKind.COUPON), "coupon"),
        (GivenSubject(SubjectKind.COUPON, campaign=1, serial=2**40), "coupon"),
    ],
)
def test_a_wrong_subject_is_told_by_its_field(given, field):
    assert read_subject(given, DIGESTS, "subjects[3]").field == f"subjects[3].{field}"


def test_a_coupon_cannot_be_allowed():
    coupon = GivenSubject(SubjectKind.COUPON, campaign=7, serial=1)
    assert read_subject(coupon, DIGESTS, "s", ListKind.ALLOW).field == "s.coupon"
    assert read_subject(coupon, DIGESTS, "s", ListKind.DENY) == coupon_subject(7, 1)


@pytest.mark.parametrize(
    "subject",
    [
        *(Subject(kind, bytes(range(8))) for kind in PEOPLE),
        coupon_subject(7, 42),
        coupon_subject(2**32 - 1, 2**40 - 1),
        range_subject(read_range("192.0.2.0/24")),
        range_subject(read_range("2001:db8::/32")),
    ],
)
def test_a_subject_that_was_shown_is_read_back(subject):
    kind = SubjectKind.NETWORK if subject.kind is SubjectKind.RANGE else subject.kind
    assert read_ref(GivenRef(kind, subject.text), "refs[0]") == subject


@pytest.mark.parametrize(
    "ref",
    [
        GivenRef(SubjectKind.CUSTOMER, ""),
        GivenRef(SubjectKind.CUSTOMER, "customer-1"),
        GivenRef(SubjectKind.CUSTOMER, "0123456789abcde"),
        GivenRef(SubjectKind.CUSTOMER, "0123456789ABCDEF"),
        GivenRef(SubjectKind.NETWORK, "192.0.2.7"),
        GivenRef(SubjectKind.NETWORK, "192.0.2.7/32"),
        GivenRef(SubjectKind.NETWORK, "192.0.2.7/24"),
        GivenRef(SubjectKind.COUPON, "7"),
        GivenRef(SubjectKind.COUPON, "7:"),
        GivenRef(SubjectKind.COUPON, "0:1"),
        GivenRef(SubjectKind.COUPON, "4294967296:1"),
        GivenRef(SubjectKind.COUPON, "7:1099511627776"),
        GivenRef(SubjectKind.COUPON, "\u0667:\u0661"),
        GivenRef(SubjectKind.RANGE, "192.0.2.0"),
    ],
)
def test_what_was_never_shown_is_told(ref):
    assert read_ref(ref, "refs[2]").field == "refs[2].id"


def test_a_request_that_names_nobody_has_no_digest():
    assert digest_of(DIGESTS, SubjectKind.DEVICE, "") is None
    assert digest_of(DIGESTS, SubjectKind.NETWORK, "somewhere") is None
