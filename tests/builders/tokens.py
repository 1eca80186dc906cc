"""Genuine tokens, as the primary key of a keyset signs them."""

from dataclasses import replace

from builders.keysets import keyset_of
from builders.times import NOW

from redemption.domain.judging.eligibility import Coupon
from redemption.domain.signed.pae import exact_bytes
from redemption.domain.signed.token import CampaignSigner, TokenVerifier, VerifiedToken

KEYSET = keyset_of()
VERIFIER = TokenVerifier(KEYSET)


def signer(keyset, *, program, campaign):
    """What signs the tokens of a campaign."""
    environment = exact_bytes(keyset.environment)
    return CampaignSigner(keyset.primary, environment=environment, program=program, campaign=campaign)


def sign_token(keyset, *, program, campaign, **fields):
    return signer(keyset, program=program, campaign=campaign).sign(**fields)


def forged_token(keyset, *, expires_at, **fields):
    """A token with a correct tag, whatever its expiry: a thief of the key heeds no end of its life."""
    endless = replace(keyset.primary, created_at=expires_at - 1, max_expires_at=expires_at)
    keys = tuple(endless if key is keyset.primary else key for key in keyset.keys)
    return sign_token(replace(keyset, keys=keys), expires_at=expires_at, now=expires_at - 1, **fields)


def verified_token(*, program="shop", campaign=7, **fields):
    """A token that was signed and verified; it is valid for some minutes around NOW."""
    times = {"not_before": NOW - 500, "expires_at": NOW + 500, "now": NOW - 600}
    text = sign_token(KEYSET, program=program, campaign=campaign, **times | fields)
    token = VERIFIER.verify(text, program=program)
    assert isinstance(token, VerifiedToken)
    return token


def coupon_of(campaign, serial=0, *, offer_index=0, held=True, **fields):
    """A coupon of a campaign with a genuine token; ``held``: whether it is the customer's own."""
    token = verified_token(
        program=campaign.program, campaign=campaign.number, offer_index=offer_index, serial=serial, **fields
    )
    return Coupon(token, campaign, held)
