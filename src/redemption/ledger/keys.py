"""Builds the name of every ledger key, as ``lua/keys.lua`` does; a commit uses ``tag`` only."""

CUSTOMER_BUCKETS_MAX = 65_536
_SHORT = {b"u": "used", b"c": "customer", b"r": "request"}
"""Key names that every redemption writes: one letter each, to save bytes (docs/decisions/0009)."""


def tag(program: str) -> bytes:
    """Return the hash tag of a program; it puts all keys of the program into one slot."""
    return b"{%b}" % program.encode()


def kind(key: bytes) -> str:
    """Return what a key of a program holds, in a word: the name after the tag, one letter spelled out."""
    name = key.split(b":", 2)[1]
    return _SHORT.get(name) or name.decode()


def ledger(program: str) -> bytes:
    """Return the key of the program's header: epoch, seq, clock."""
    return tag(program) + b":ledger"


def keyset(program: str) -> bytes:
    """Return the key of the hash from what a check value is of to the check value of the keyset."""
    return tag(program) + b":keyset"


def events(program: str) -> bytes:
    """Return the key of the event stream."""
    return tag(program) + b":events"


def names(program: str) -> bytes:
    """Return the key of the hash from campaign names to numbers, and from what names look like to names."""
    return tag(program) + b":names"


def campaign(program: str, number: int) -> bytes:
    """Return the key of a campaign: definition, limits, counters."""
    return b"%b:campaign:%d" % (tag(program), number)


def refused(program: str, number: int) -> bytes:
    """Return the key of the hash that counts, for each outcome, how often it refused a coupon of a campaign."""
    return b"%b:refused:%d" % (tag(program), number)


def rules(program: str) -> bytes:
    """Return the key of the program's rules against abuse."""
    return tag(program) + b":rules"


def listed(program: str) -> bytes:
    """Return the key of the entries of its deny and allow lists."""
    return tag(program) + b":listed"


def listed_log(program: str) -> bytes:
    """Return the key of the sorted set from changed entries to the versions of the rules that changed them."""
    return tag(program) + b":listed_log"


def rule_counts(program: str) -> bytes:
    """Return the key of the hash that counts what each rule did."""
    return tag(program) + b":rule_counts"


def attempts(program: str, minute: int) -> bytes:
    """Return the key of what the servers reported of attempts in vain in a minute, since 1970."""
    return b"%b:attempts:%d" % (tag(program), minute)


def marks(program: str) -> bytes:
    """Return the key of the hash from campaigns to what their counters were, minute by minute."""
    return tag(program) + b":marks"


def warnings(program: str) -> bytes:
    """Return the key of the hash from campaigns to what they are warned of."""
    return tag(program) + b":warnings"


def velocity(program: str, rule: int, generation: int) -> bytes:
    """Return the key of what a rule counted of its subjects in one generation."""
    return b"%b:velocity:%d:%d" % (tag(program), rule, generation)


def used(program: str, number: int, width: int, serial: int) -> tuple[bytes, int]:
    """Return the key and the field of a coupon's record."""
    return b"%b:u:%d:%d" % (tag(program), number, serial // width), serial % width


def returned(program: str, number: int, width: int, serial: int) -> tuple[bytes, int]:
    """Return the key and the field of what was given back of a coupon that is used."""
    return b"%b:returned:%d:%d" % (tag(program), number, serial // width), serial % width


def customer(program: str, number: int, buckets: int, digest: bytes) -> tuple[bytes, bytes]:
    """Return the key and the field of a customer's counters."""
    bucket = int.from_bytes(digest[:2]) % buckets
    return b"%b:c:%d:%d" % (tag(program), number, bucket), digest


def request(program: str, generation: int, buckets: int, digest: bytes) -> tuple[bytes, bytes]:
    """Return the key and the field of a remembered request; ``buckets`` of its generation are a power of two."""
    bucket = int.from_bytes(digest[:3]) * buckets >> 24
    return b"%b:r:%d:%d" % (tag(program), generation, bucket), digest[1:]


def revoked(program: str, number: int) -> bytes:
    """Return the key of the revoked ranges of serials: a sorted set of last serials, scored by the first ones."""
    return b"%b:revoked:%d" % (tag(program), number)


def revoked_customers(program: str, number: int) -> bytes:
    """Return the key of the hash from revoked customers to how many serials were issued when each was revoked."""
    return b"%b:revoked_customers:%d" % (tag(program), number)


def wheel(program: str, number: int) -> bytes:
    """Return the key of the sums of what is held of a campaign, by the second at which the holds end."""
    return b"%b:wheel:%d" % (tag(program), number)


def hold(program: str, order: bytes) -> tuple[bytes, bytes]:
    """Return the key and the field of an order's hold."""
    bucket = int.from_bytes(order[:2]) >> 4
    return b"%b:hold:%d" % (tag(program), bucket), order


def due(program: str, second: int) -> bytes:
    """Return the key of the digests of the orders whose holds end at a second, since 1970."""
    return b"%b:due:%d" % (tag(program), second)


def claims(program: str, number: int, buckets: int, kind: bytes, digest: bytes) -> tuple[bytes, bytes]:
    """Return the key and the field of the claims of a customer (kind ``c``) or a person (``p``)."""
    bucket = int.from_bytes(digest[:2]) % buckets
    return b"%b:claims:%d:%d" % (tag(program), number, bucket), kind + digest


def code(program: str, digest: bytes) -> tuple[bytes, bytes]:
    """Return the key and the field of an exchange code."""
    bucket = int.from_bytes(digest[:2]) >> 2
    return b"%b:code:%d" % (tag(program), bucket), digest[1:]
