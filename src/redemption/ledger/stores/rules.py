"""Rules and lists of the programs: their cache, and their format in the ledger (``lua/rules.lua``)."""

import asyncio
import contextlib
import hashlib
import struct
import sys
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from itertools import islice

from pydantic import ConfigDict, TypeAdapter, with_config

from redemption.domain.errors import Conflict, LedgerRefused, LimitReached, ServiceError
from redemption.domain.ports.rules import ListChanged, RuleCounted
from redemption.domain.risk.assessment import NO_ACTIVE_RULES, ActiveRules
from redemption.domain.risk.lists import ENTRIES_MAX, ListEntry, Lists, entry_subject
from redemption.domain.risk.rules import (
    NO_RULES,
    NO_THRESHOLDS,
    AccountsRule,
    LockOut,
    Numbered,
    RefusalShare,
    RuleCounts,
    RuleMode,
    Rules,
    Tightened,
    VelocityRule,
    WarningThresholds,
)
from redemption.ledger.functions import FunctionClient
from redemption.ledger.stores.refusal_counts import RULE_DID
from redemption.ledger.trust.reply_errors import no_ledger
from redemption.scheduling.single_flight import SingleFlight

PROGRAMS_MAX = 256
ENTRIES_KEPT_MAX = 1_000_000
"""Entries of all programs in memory, about 350 MB; the entries of one program are kept in any case."""
PAGE_ENTRIES = 250
"""Entries in one call that reads all of them; to read the reply takes the server almost a millisecond."""
TRIES = 3
PRELOAD_SECONDS_MAX = 5.0
CATCHING_UP_MAX = 400
"""So many replies with changes, of 1,000 entries or more each, may follow each other until all are read."""
BEHIND_MAX = 4
"""So many programs are in memory whose rules are outdated and are not read again yet."""

_FORMAT = b"1"
"""Of the definition. Increase it when no definition of the version before can be read any more."""
_CHECK = struct.Struct(">IBBIQQQ")
_RATE, _ACCOUNTS = 1, 2
_SHADOW, _APPROVALS = 1, 2
_CHANGED = struct.Struct(">cIII")
_RELOAD = b"R"
_ENTRY = struct.Struct(">BIIB")
_ENTRY_FORMAT = 1
_PRINCIPAL_BYTES_MAX = 255
UNREADABLE = (ValueError, IndexError, struct.error)
"""What is raised by rules and entries of an unknown format, or damaged ones."""
for _model in (
    Rules,
    VelocityRule,
    AccountsRule,
    LockOut,
    RefusalShare,
    WarningThresholds,
    Tightened,
    Numbered,
):
    with_config(ConfigDict(extra="forbid"))(_model)
_CODEC = TypeAdapter(Rules)


class RulesStore:
    """Implements ``domain.ports.rules.RulesLedger``. The programs that were read or changed last are in memory."""

    def __init__(self, functions: FunctionClient, *, may_create_ledger: bool) -> None:
        """Build it.

        Args:
            functions: The ledger.
            may_create_ledger: The first rule or entry of an unknown program creates its ledger.
        """
        self._functions = functions
        self._may_create_ledger = may_create_ledger
        self._active: OrderedDict[str, ActiveRules] = OrderedDict()
        self._behind: OrderedDict[str, ActiveRules] = OrderedDict()
        self._loading: SingleFlight[str, ActiveRules] = SingleFlight()
        self._ledgers = 0
        self.cached = self._active.get
        """Returns the rules of a program if they are in memory. It is the dictionary's own method, for speed."""

    async def stop(self) -> None:
        """Cancel the reads that several callers share."""
        await self._loading.stop()

    def clear(self) -> None:
        """Drop everything: another ledger may have other rules with the same version."""
        self._active.clear()
        self._behind.clear()
        self._ledgers += 1

    async def load(self, program: str) -> ActiveRules:
        """Return the rules and lists of a program as they are now."""
        return await self._loading.share(program, lambda: self._load(program))

    async def load_newer(self, program: str, version: int) -> None:
        """Load the rules of a program unless those in memory are of this version, or newer."""
        known = self._active.get(program)
        if known is None or known.version < version:
            await self.load(program)

    async def preload(self, programs: Sequence[str]) -> None:
        """Load the rules of programs, for ``PRELOAD_SECONDS_MAX`` at most; an error shows when they are needed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(PRELOAD_SECONDS_MAX):
                for program in programs[:PROGRAMS_MAX]:
                    with contextlib.suppress(ServiceError):
                        await self.load(program)

    async def _load(self, program: str) -> ActiveRules:
        """Read what changed; everything, if nothing is known yet, or the ledger does not know what changed."""
        if not await self._functions.begun(program):
            return NO_ACTIVE_RULES
        for _ in range(TRIES):
            ledgers = self._ledgers
            known = self._known(program) or await self._load_all(program)
            for _ in range(CATCHING_UP_MAX):
                in_force, blob = await self._functions.call("rules_since", program, known.version)
                if self._ledgers == ledgers:
                    latest = self._known(program)  # an order's reply may have brought changes meanwhile
                    known = latest if latest is not None and latest.version > known.version else known
                found = self._applied(program, known, blob)
                if found is None:
                    self._forget(program)
                    break
                known = found
                if known.version >= int(in_force):
                    if self._ledgers == ledgers:  # else some of it may be of the ledger before
                        self._put(program, known)
                    return known
                if self._ledgers == ledgers:
                    self._put_behind(program, known)
        raise LedgerRefused("the rules of this program change faster than they can be read; ask again")

    async def _load_all(self, program: str) -> ActiveRules:
        """Read all entries, page by page; changes that are made meanwhile may be missing."""
        lists, first, cursor = Lists(), None, b"0"
        ledgers = self._ledgers
        while True:
            *seen, cursor, flat = await self._functions.call("rules_page", program, cursor, PAGE_ENTRIES)
            first = first or seen
            try:
                for position in range(0, len(flat), 2):
                    lists.put(unpack_entry(*flat[position : position + 2]))
            except UNREADABLE as error:
                raise _unreadable(program) from error
            if cursor == b"0":
                break
        version, changed, definition = first
        try:
            rules = unpack_rules(definition) if definition else NO_RULES
        except ValueError as error:
            raise _unreadable(program) from error
        active = NO_ACTIVE_RULES if version == b"0" else ActiveRules(int(version), int(changed), rules, lists)
        if self._ledgers == ledgers:
            self._put_behind(program, active)
        return active

    def redefined(self, program: str, blob: bytes) -> None:
        """Take changes that the ledger sent; if it cannot send them, orders wait until ``load`` has read them.

        Raises:
            LedgerRefused: They cannot be read; then the rules are forgotten, too.
        """
        known = self._active.get(program)
        if known is None:  # an order that waits for its rules; ``load`` reads them
            return
        found = self._applied(program, known, blob)
        if found is None:
            self._put_behind(program, known)
        else:
            self._put(program, found)

    def _applied(self, program: str, known: ActiveRules, blob: bytes) -> ActiveRules | None:
        """Return rules with the changes in ``blob``, None without any; if they cannot be read, forget the rules."""
        try:
            return _apply(known, blob)
        except UNREADABLE as error:
            self._forget(program)
            raise _unreadable(program) from error

    def _known(self, program: str) -> ActiveRules | None:
        return self._active.get(program) or self._behind.get(program)

    def _forget(self, program: str) -> None:
        self._active.pop(program, None)
        self._behind.pop(program, None)

    def _put_behind(self, program: str, known: ActiveRules) -> None:
        """Keep rules that are outdated: no order is judged by them, and ``load`` reads only what changed since."""
        self._forget(program)
        self._behind[program] = known
        while len(self._behind) > BEHIND_MAX:
            self._behind.popitem(last=False)

    def _put(self, program: str, active: ActiveRules) -> None:
        self._behind.pop(program, None)
        self._active[program] = active
        self._active.move_to_end(program)
        entries = sum(len(each.lists) for each in self._active.values())
        while entries > ENTRIES_KEPT_MAX and len(self._active) > 1:
            _, dropped = self._active.popitem(last=False)
            entries -= len(dropped.lists)
        if len(self._active) > PROGRAMS_MAX:
            # Orders do not note that they use rules, as that would cost each of them. So a program in use may be among
            # the oldest; the one with the fewest entries is read again soonest.
            oldest = islice(self._active, max(1, PROGRAMS_MAX // 2))
            del self._active[min(oldest, key=lambda name: len(self._active[name].lists))]

    async def counts(self, program: str) -> RuleCounted:
        """Return what the rules of a program did, see ``RulesLedger``."""
        if not await self._functions.begun(program):
            return RuleCounted(0, {})
        now_ms, *flat = await self._functions.call("rule_counts", program)
        counts = {divmod(int(flat[index]), RULE_DID): int(flat[index + 1]) for index in range(0, len(flat), 2)}
        return RuleCounted(int(now_ms), counts)

    async def define(self, program: str, rules: Rules, *, expected: int, what: str, principal: str) -> ActiveRules:
        """Replace the rules of a program, see ``RulesLedger``."""
        if not await self._functions.open(program, create=self._may_create_ledger):
            raise no_ledger()
        definition = pack_rules(rules)
        digest = hashlib.sha256(definition).hexdigest()
        has_thresholds = int(rules.warnings != NO_THRESHOLDS)
        args = (principal, expected, definition, pack_checks(rules), what, digest, has_thresholds)
        _, reply = await self._functions.write("define_rules", program, *args)
        if reply[0] == b"conflict":
            raise Conflict("rules.etag: the rules were changed meanwhile; read them again and repeat the change")
        return await self.load(program)

    async def subject_states(self, program: str, digest: bytes) -> tuple[int, int, Sequence[bytes]]:
        """Return what the rules have counted of a subject, see ``RulesLedger``."""
        now_ms, version, *states = await self._functions.call("subject_states", program, digest)
        return int(now_ms), int(version), states

    async def change_lists(
        self,
        program: str,
        put: Sequence[ListEntry],
        removed: Sequence[bytes],
        *,
        reason: str,
        principal: str,
        expected: int | None = None,
    ) -> ListChanged:
        """Add, change and remove entries, see ``RulesLedger``."""
        if not await self._functions.open(program, create=self._may_create_ledger):
            raise no_ledger()
        flat: list[bytes] = []
        for entry in put:
            flat += (entry.key, pack_entry(entry))
        for key in removed:
            flat += (key, b"")
        args = (principal, ENTRIES_MAX, reason, "" if expected is None else expected)
        _, reply = await self._functions.write("change_list", program, *args, *flat)
        if reply[0] == b"conflict":
            raise Conflict("the lists were changed meanwhile; ask again")
        if reply[0] == b"full":
            raise LimitReached(
                f"subjects: the lists have {int(reply[1])} entries, and room for {ENTRIES_MAX}; remove some first "
                "(expired ones are removed by themselves), or deny a range of addresses in place of each address"
            )
        await self.load(program)
        return ListChanged(total=int(reply[1]), removed=int(reply[2]))


def _apply(known: ActiveRules, blob: bytes) -> ActiveRules | None:
    """Return the rules with the changes in ``blob``; None when it has none, because the ledger could not send them."""
    if blob[:1] == _RELOAD:
        return None
    _, version, changed, length = _CHANGED.unpack_from(blob)
    if version <= known.version:  # nothing new: a reply that was on its way for longer than a later one
        return known
    position = _CHANGED.size
    rules = unpack_rules(blob[position : position + length]) if changed else known.rules
    position += length
    lists = known.lists if known.version else Lists()
    for key, value in _entries(blob, position):
        if value:
            lists.put(unpack_entry(key, value))
        else:
            lists.remove(key)
    return ActiveRules(version, changed or known.changed, rules, lists)


def _entries(blob: bytes, position: int) -> Iterator[tuple[bytes, bytes]]:
    while position < len(blob):
        length = blob[position]
        key = blob[position + 1 : position + 1 + length]
        position += 1 + length
        length = int.from_bytes(blob[position : position + 2])
        yield key, blob[position + 2 : position + 2 + length]
        position += 2 + length


def pack_rules(rules: Rules) -> bytes:
    """Pack the rules of a program as the ledger keeps them."""
    return _FORMAT + _CODEC.dump_json(rules)


def unpack_rules(definition: bytes) -> Rules:
    """Unpack the rules of a program.

    Raises:
        ValueError: This version of the service cannot read them.
    """
    if not definition.startswith(_FORMAT):
        raise ValueError("rules of an unknown format")
    return _CODEC.validate_json(definition[1:])


def _unreadable(program: str) -> LedgerRefused:
    return LedgerRefused(
        f"the rules of program {program!r} in the ledger cannot be read; were they written by a newer version of this "
        "service?"
    )


def pack_checks(rules: Rules) -> bytes:
    """Pack what the ledger needs of the rules in force, in their order."""
    packed = b""
    for rule in rules.in_force:
        number = rules.numbers[rule.name].number
        flags = _SHADOW * (rule.mode is RuleMode.SHADOW) + _APPROVALS * (rule.counts is RuleCounts.APPROVALS)
        if isinstance(rule, AccountsRule):
            kind, first, second = _ACCOUNTS, rule.customers, rule.window_seconds
        else:
            kind, first, second = _RATE, rule.interval_us, rule.tolerance_us
        packed += _CHECK.pack(number, kind, flags, rule.campaign, first, second, rule.life_ms)
    return packed


def pack_entry(entry: ListEntry) -> bytes:
    """Pack an entry without its list and subject, which are its key."""
    principal = entry.principal.encode()[:_PRINCIPAL_BYTES_MAX]
    head = _ENTRY.pack(_ENTRY_FORMAT, entry.expires_at, entry.added_at, len(principal))
    return head + principal + entry.reason.encode()


def unpack_entry(key: bytes, value: bytes) -> ListEntry:
    """Unpack an entry.

    Raises:
        ValueError: It is of a format that is not known.
        IndexError: Its key is too short.
        struct.error: It is too short.
    """
    form, expires_at, added_at, length = _ENTRY.unpack_from(value)
    if form != _ENTRY_FORMAT:
        raise ValueError(f"a list entry of unknown format {form}")
    list_kind, subject = entry_subject(key)
    text = value[_ENTRY.size :]
    # Interned: most entries share their texts with others that were added in the same call.
    principal, reason = (sys.intern(part.decode(errors="replace")) for part in (text[:length], text[length:]))
    return ListEntry(list_kind, subject, reason, expires_at, added_at, principal)
