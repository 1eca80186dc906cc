"""docs/token.md says what the code does: the worked example, the tables, the bounds."""

import json
import re

import pytest
from builders.tokens import sign_token
from builders.vectors import KEYSETS, vectors_of
from tool_loader import ROOT

from redemption.domain.signed.base64url import armor
from redemption.domain.signed.digest import DigestKind
from redemption.domain.signed.exchange_code import TYPED_LENGTH_MAX, Codes, write_code
from redemption.domain.signed.keyset import KeyState
from redemption.domain.signed.pae import pae
from redemption.domain.signed.receipt import ReceiptDefect
from redemption.domain.signed.settlement import ALLOCATIONS_MAX, LENGTH_MAX, REDEMPTIONS_MAX, SettlementDefect
from redemption.domain.signed.signing import Mac
from redemption.domain.signed.token import TokenDefect, TokenVerifier

DOCUMENT = (ROOT / "docs" / "token.md").read_text()
KEYSET = KEYSETS["main"]


def section(title):
    return re.split(r"\n#+ ", DOCUMENT.split(f" {title}\n", 1)[1], maxsplit=1)[0]


def printed_example():
    """The values in the fenced block: a name at the margin, its value indented below."""
    block = section("Worked example").split("```")[1]
    return {name: "".join(value.split()) for name, value in re.findall(r"^(\w+)\n((?:  \S+\n)+)", block, re.MULTILINE)}


def computed_example():
    """The same values by the service's own code, from what the prose says."""
    material = KEYSET.primary.material
    place = (b"production", b"shop")
    ids = (bytes.fromhex("1a2b3c4d"), (7).to_bytes(4))
    campaign_key = material.derive(b"redemption/v1/campaign", *place, *ids)
    holder_key = material.derive(b"redemption/v1/holder", *place, *ids)
    holder_message = pae(b"redemption/v1/holder-tag", b"customer-42")
    holder_tag = Mac(holder_key).digest(holder_message)[:6]
    numbers = ((2, 2), (1_760_000_000, 4), (1_762_592_000, 4), (0, 1), (123_456_789, 5))
    body = b"\x01\x01" + b"".join(ids) + b"".join(number.to_bytes(length) for number, length in numbers) + holder_tag
    message = pae(b"redemption/v1/token", *place, body)
    hmac = Mac(campaign_key).digest(message)
    values = {
        "key_material": material.reveal(),
        "campaign_info": pae(b"redemption/v1/campaign", *place, *ids),
        "extracted": Mac(type(material)(bytes(32))).digest(material.reveal()),
        "campaign_key": campaign_key.reveal(),
        "holder_info": pae(b"redemption/v1/holder", *place, *ids),
        "holder_key": holder_key.reveal(),
        "holder_message": holder_message,
        "holder_tag": holder_tag,
        "body": body,
        "message": message,
        "hmac": hmac,
        "tag": hmac[:16],
    }
    return {name: value.hex() for name, value in values.items()} | {"token": armor(body + hmac[:16])}


def test_the_worked_example_is_what_the_vectors_and_the_code_compute():
    vectors = vectors_of("token")["worked_example"]
    assert printed_example() == vectors == computed_example()


def test_the_printed_code_is_what_the_vectors_and_the_code_compute():
    vector = vectors_of("code")["codes"][0]
    page = section("Exchange code")
    code = Codes(KEYSET).campaign(program="shop", campaign=7, key_id=KEYSET.primary.id).code(123_456_789)
    assert [f"`{vector[name]}`" in page for name in ("code_key", "code", "text")] == [True] * 3
    assert (code.hex(), write_code(code)) == (vector["code"], vector["text"])
    assert f"at most {TYPED_LENGTH_MAX} characters" in page


def test_the_printed_check_character_is_computed_as_the_page_says():
    """From the table and the two numbers of the prose: double, and XOR with 37 from 32 on."""
    page = section("Check character")
    head, values, results = (
        [cell.strip() for cell in row.split("|")[2:-1]] for row in re.findall(r"^\|(?!---).*", page, re.MULTILINE)
    )
    alphabet = re.search(r"`(\w{32})`", section("Exchange code"))[1]
    assert [alphabet[int(value)] for value in values] == head
    total, computed = 0, []
    for value in values:
        total = (total ^ int(value)) * 2
        total = total ^ 37 if total >= 32 else total
        computed.append(str(total))
    assert computed == results
    assert "".join(head) + alphabet[total] == vectors_of("code")["codes"][0]["text"].replace("-", "")


def test_the_worked_example_is_signed_and_verified_as_a_whole():
    text = printed_example()["token"]
    signed = sign_token(
        KEYSET,
        program="shop",
        campaign=7,
        offer_index=2,
        serial=123_456_789,
        not_before=1_760_000_000,
        expires_at=1_762_592_000,
        customer_id="customer-42",
        now=1_760_000_000,
    )
    verifier = TokenVerifier(KEYSET)
    assert signed == text
    assert verifier.holder_matches(verifier.verify(text, program="shop"), "customer-42")


@pytest.mark.parametrize("title", ["Token, version 1", "Receipt"])
def test_the_byte_table_has_no_gap(title):
    rows = re.findall(r"^\| (\d+) \| (\d+) \|", section(title), re.MULTILINE)
    ends = [int(offset) + int(length) for offset, length in rows]
    assert [int(offset) for offset, _ in rows] == [0, *ends[:-1]]
    assert ends[-1] == 48


def test_the_order_of_checks_is_that_of_the_defects():
    rows = re.findall(r"^\| \d+ \|.*\| `(\w+)` \|$", section("Order of checks"), re.MULTILINE)
    assert rows == [defect.value for defect in TokenDefect]


@pytest.mark.parametrize(("title", "defects"), [("Receipt", ReceiptDefect), ("Settlement", SettlementDefect)])
def test_the_defects_of_a_kind_are_named_in_order(title, defects):
    named = [word for word in re.findall(r"`(\w+)`", section(title)) if word in list(defects)]
    assert named == [defect.value for defect in defects]


def test_the_key_states_are_listed_in_order():
    assert re.findall(r"^\| `([A-Z_]+)` \|", section("Keys"), re.MULTILINE) == list(KeyState)


def test_the_fields_of_a_keyset_are_listed_in_order():
    """As the file has them."""
    document = json.loads(KEYSET.to_json())
    listed = re.findall(r"^\| `([a-z_]+)` \|", section("Keys"), re.MULTILINE)
    assert listed == [*document, *document["keys"][0]]


def test_the_digest_kinds_are_listed_with_their_lengths():
    rows = re.findall(r"^\| `(\w+)` \| (\d+) \|$", section("Digests"), re.MULTILINE)
    assert rows == [(kind.value, str(kind.length)) for kind in DigestKind]


def test_the_bounds_of_a_settlement_are_printed():
    page = section("Settlement").replace("\u00a0", " ")
    assert f"1 to {REDEMPTIONS_MAX}" in page
    assert f"0 to {ALLOCATIONS_MAX}" in page
    assert f"22 to {LENGTH_MAX:,} bytes".replace(",", " ") in page
