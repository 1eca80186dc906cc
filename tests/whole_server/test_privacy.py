"""People leave no trace in plain: neither in a full dump of the ledger, nor in its append-only file, nor in any log."""

import itertools
import secrets

from redis import Redis
from served import redeem_request
from waiting import SECONDS_MAX, until

from redemption.server.embedded_valkey import EmbeddedValkey
from redemption.v1 import (
    issuance_service_pb2,
    order_pb2,
    outcome_pb2,
    redemption_service_pb2,
    risk_service_pb2,
    risk_service_pb2_grpc,
    rules_pb2,
)

REASON = "case 4711 of the risk desk"
"""It is kept as it was typed: the search must find it."""
NAMES = ("customer", "person", "device", "card")
SUBJECTS = ("CUSTOMER", "PERSON", "DEVICE", "NETWORK", "PAYMENT")


class People:
    """People with ids that occur nowhere else, and everything that they do here."""

    def __init__(self):
        self._numbers = itertools.count()
        self.plain = set()

    def one(self):
        """A customer and the risk signals; their ids are noted."""
        number = next(self._numbers)
        customer, person, device, card = (f"{name}-{secrets.token_hex(6)}" for name in NAMES)
        address = (
            f"2001:db8:{secrets.randbelow(65_536):x}:{number + 4_096:x}::17" if number % 2 else f"203.0.113.{number}"
        )
        self.plain |= {customer, person, device, card, address}
        risk = order_pb2.RiskContext(device_id=device, network_address=address, payment_fingerprint=card)
        return order_pb2.Customer(customer_id=customer, person_id=person), risk


def rules():
    """A rule for each kind of subject, so that each is counted."""
    velocity = [
        rules_pb2.VelocityRule(
            name=f"rate-{kind.lower()}", subject=f"SUBJECT_KIND_{kind}", limit=2, period={"seconds": 60}, mode=mode
        )
        for kind, mode in zip(SUBJECTS, ("RULE_MODE_ENFORCE", *4 * ["RULE_MODE_SHADOW"]), strict=True)
    ]
    accounts = [rules_pb2.AccountsRule(name="farm", subject="SUBJECT_KIND_DEVICE", customers=3, window={"seconds": 60})]
    return rules_pb2.Rules(program="demo", velocity=velocity, accounts=accounts, etag="v0")


def live(client, people, tokens, codes):
    """Redeem, be refused, guess, quote and claim; returns the outcomes."""
    outcomes = set()
    spare = iter(tokens)
    for round_number in range(4):
        customer, risk = people.one()
        for number in range(4):
            request = redeem_request(next(spare), request_id=f"r-{round_number}-{number}")
            request.checkout.customer.CopyFrom(customer)
            request.checkout.risk.CopyFrom(risk)
            outcomes.add(client.redemption.Redeem(request, timeout=SECONDS_MAX).decision.outcome)
            quote = redemption_service_pb2.QuoteRequest(checkout=request.checkout)
            client.redemption.Quote(quote, timeout=SECONDS_MAX)
    customer, risk = people.one()
    for number in range(12):
        request = redeem_request("AQ" + secrets.token_urlsafe(60)[:62], request_id=f"guess-{number}")
        request.checkout.customer.CopyFrom(customer)
        request.checkout.risk.CopyFrom(risk)
        outcomes.add(client.redemption.Redeem(request, timeout=SECONDS_MAX).decision.outcome)
    for number, code in enumerate([*codes, "0123-4567-89AB-CDEF"]):
        customer, risk = people.one()
        claim = issuance_service_pb2.ClaimRequest(
            program="demo", request_id=f"c-{number}", code=code, customer=customer, risk=risk
        )
        outcomes.add(client.issuance.Claim(claim, timeout=SECONDS_MAX).outcome)
    return outcomes


def list_people(desk, people):
    """Deny some people and allow others, by each of their ids."""
    for kind in ("LIST_KIND_DENY", "LIST_KIND_ALLOW"):
        customer, risk = people.one()
        subjects = [
            rules_pb2.RiskSubject(customer_id=customer.customer_id),
            rules_pb2.RiskSubject(person_id=customer.person_id),
            rules_pb2.RiskSubject(device_id=risk.device_id),
            rules_pb2.RiskSubject(network=risk.network_address),
            rules_pb2.RiskSubject(payment_fingerprint=risk.payment_fingerprint),
        ]
        request = risk_service_pb2.AddListEntriesRequest(program="demo", list=kind, subjects=subjects, reason=REASON)
        assert desk.AddListEntries(request, timeout=SECONDS_MAX).total


def test_no_id_of_a_person_is_in_a_dump_the_append_only_file_or_a_log(started, tmp_path):
    served = started(tmp_path, "--workers", "2")
    client, people = served.client(), People()
    desk = risk_service_pb2_grpc.RiskServiceStub(served.channel())
    desk.UpdateRules(risk_service_pb2.UpdateRulesRequest(rules=rules()), timeout=SECONDS_MAX)
    list_people(desk, people)
    campaign = client.create("privacy", threshold=0)
    mint = issuance_service_pb2.MintRequest(
        program="demo", request_id="codes", campaign=campaign.number, count=3, form="MINT_FORM_CODE"
    )
    codes = [one.code for chunk in client.issuance.Mint(mint, timeout=SECONDS_MAX) for one in chunk.tokens]
    outcomes = live(client, people, client.mint(campaign.number, 16), codes)
    assert {outcome_pb2.OUTCOME_APPROVED, outcome_pb2.OUTCOME_VELOCITY_EXCEEDED} < outcomes
    assert {outcome_pb2.OUTCOME_TOKEN_INVALID, outcome_pb2.OUTCOME_CODE_INVALID} < outcomes
    data = tmp_path / ".data"
    with Redis.from_url(EmbeddedValkey(data).url) as redis:
        until(lambda: redis.keys("{demo}:attempts:*"))
        redis.config_set("rdbcompression", "no")
        redis.save()
    served.stop()
    written = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    assert {path.suffix for path in written} >= {".rdb", ".aof", ".log"}
    assert sum(REASON.encode() in content for content in written.values()) >= 2, "the search finds what is there"
    found = {
        (plain, path.name) for plain in people.plain for path, content in written.items() if plain.encode() in content
    }
    assert found == set()
