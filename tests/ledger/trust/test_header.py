"""The ledger's header: one of another format, or one that cannot be read, is not served."""

import re

import pytest
from refused import refused

from redemption.domain.errors import LedgerRefused
from redemption.domain.outcome import Outcome
from redemption.ledger.trust.header import Header, identity_of, read_header
from redemption.ledger.trust.reply_errors import LedgerNotTrusted

EPOCH = "0123456789abcdef"


def test_a_header_is_read_from_its_fields():
    assert read_header(EPOCH, "17", "keyset", "3", "1800000000000") == Header(EPOCH, 17, "keyset", 1_800_000_000_000)


def test_without_an_epoch_there_is_no_ledger():
    assert read_header("", "", "", "", "") is None
    assert identity_of({}) is None


@pytest.mark.parametrize(
    ("fields", "failure", "told"),
    [
        ((EPOCH, "17", "keyset", "2", "5"), LedgerRefused, "redemption ledger upgrade"),
        ((EPOCH, "17", "keyset", "4", "5"), LedgerRefused, "use the version that made the ledger"),
        ((EPOCH, "17", "keyset", "", "5"), LedgerRefused, "has format '', this version has format '3'"),
        ((EPOCH, "many", "keyset", "3", "5"), LedgerNotTrusted, "cannot be read (seq is 'many', clock_ms is '5')"),
        ((EPOCH, "17", "keyset", "3", ""), LedgerNotTrusted, "cannot be read (seq is '17', clock_ms is '')"),
    ],
)
def test_a_header_that_this_version_cannot_read_is_refused_with_the_way_out(fields, failure, told):
    with refused(LedgerRefused, re.escape(told)) as raised:
        read_header(*fields)
    assert type(raised.value) is failure


def test_which_ledger_it_is_can_be_read_whatever_its_format():
    said = {"epoch": EPOCH, "seq": "17", "keyset": "keyset", "format": "2"}
    assert identity_of(said) == Header(EPOCH, 17, "keyset", 0)
    assert identity_of({"epoch": EPOCH, "seq": "17"}) == Header(EPOCH, 17, "", 0)
    with refused(LedgerNotTrusted, "seq is 'many'"):
        identity_of(said | {"seq": "many"})


async def test_a_ledger_of_another_format_is_not_served(house):
    """The used coupons would not be found there, and could be used again."""
    campaign = await house.campaign()
    (token,) = await house.mint(campaign)
    await house.redis.hset(house.key("ledger"), "format", "1")
    await house.ledger.check()
    with refused(LedgerRefused, "has format '1', this version has format '3'"):
        await house.redeem(token)
    await house.redis.hset(house.key("ledger"), "format", "3")
    await house.ledger.check()
    assert (await house.redeem(token)).outcome is Outcome.APPROVED
