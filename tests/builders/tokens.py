"""Tokens as the primary key of a keyset signs them."""

from redemption.domain.signed.pae import exact_bytes
from redemption.domain.signed.token import CampaignSigner


def signer(keyset, *, program, campaign):
    environment = exact_bytes(keyset.environment)
    return CampaignSigner(keyset.primary, environment=environment, program=program, campaign=campaign)


def sign_token(keyset, *, program, campaign, **fields):
    return signer(keyset, program=program, campaign=campaign).sign(**fields)
