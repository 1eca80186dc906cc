"""Which key signs the tokens of a campaign, and how long a token may live."""

from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

from redemption.domain.campaign.campaign import Campaign, ClaimValidity
from redemption.domain.errors import WrongState
from redemption.domain.signed.keyset import Keyset
from redemption.domain.signed.pae import exact_bytes
from redemption.domain.signed.token import TOKEN_LIFE_SECONDS_MAX, CampaignSigner

CACHE_SIZE: Final = 1_024
CLOCK_MARGIN_SECONDS: Final = 60
"""The ledger's clock may be a little behind our estimate of it, and a token is signed at the ledger's time."""


class Signers:
    """The signers of all campaigns; recently used ones are cached."""

    def __init__(self, keyset: Keyset) -> None:
        self._environment = exact_bytes(keyset.environment)
        self._keys = {key.id: key for key in keyset.keys}
        self._derived = lru_cache(maxsize=CACHE_SIZE)(self._derive)
        self.primary: Final = keyset.primary

    def signer(self, *, program: str, campaign: int, key_id: int) -> CampaignSigner:
        """Return the signer for a campaign.

        Args:
            program: The program.
            campaign: The campaign's number.
            key_id: The key that signed the token before, when it is returned again. If this key is not usable any more,
                the primary key signs.

        Raises:
            SigningError: The program is not 1 to 128 bytes, or the campaign number not 32 bits.
        """
        signs = key_id if self.usable(key_id) else self.primary.id
        return self._derived(program, campaign, signs)

    def usable(self, key_id: int) -> bool:
        """Whether a new request may use tokens and codes of this key."""
        key = self._keys.get(key_id)
        return key is not None and key.state.usable

    def key_expires_at(self, key_id: int) -> int:
        """Return when the life of a key ends, Unix seconds."""
        return self._keys[key_id].max_expires_at

    def latest_expiry(self, now: int) -> int:
        """Return the latest expiry of a token that the primary key signs now, Unix seconds."""
        return min(now + TOKEN_LIFE_SECONDS_MAX - CLOCK_MARGIN_SECONDS, self.primary.max_expires_at)

    def capped_expiry(self, campaign: Campaign, expires_at: int, now: int) -> int:
        """Return the expiry of a coupon, capped to the primary key's life, Unix seconds.

        Only a campaign's own end is capped. Days that are promised from the claim on are never shortened.

        Raises:
            WrongState: The key's life ends before days that are promised from the claim on.
        """
        latest = self.latest_expiry(now)
        if expires_at > latest and isinstance(campaign.validity, ClaimValidity):
            raise WrongState(
                f"campaign {campaign.number} promises coupons that are valid until {_utc(expires_at)}, but key "
                f"{self.primary.id:08x} signs nothing that outlives {_utc(latest)}; its operator has to create and "
                "promote a newer key"
            )
        return min(expires_at, latest)

    def _derive(self, program: str, campaign: int, key_id: int) -> CampaignSigner:
        return CampaignSigner(self._keys[key_id], environment=self._environment, program=program, campaign=campaign)


def _utc(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
