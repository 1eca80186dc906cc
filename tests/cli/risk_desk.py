"""A program's rules and lists behind the fake server: what is changed is there when it is read again."""

from google.protobuf.timestamp_pb2 import Timestamp

from redemption.v1 import risk_service_pb2 as risk
from redemption.v1 import rules_pb2 as v1
from redemption.v1.campaign_pb2 import Campaign
from redemption.v1.campaign_service_pb2 import ListCampaignsResponse

ADDED = 1_781_000_000


class RiskDesk:
    """Keeps the rules and the lists of one program; what is wrong with a request is not looked for."""

    def __init__(self, fake):
        self.rules = v1.Rules(program="demo", etag="1")
        self.entries = {}
        fake.answers.setdefault("ListCampaigns", ListCampaignsResponse(campaigns=[Campaign(number=1, name="a")]))
        fake.answers |= {
            "GetRules": lambda *_: risk.GetRulesResponse(rules=self.rules),
            "UpdateRules": self._update,
            "TightenRule": self._tighten,
            "LoosenRule": self._loosen,
            "FreezeClaims": lambda *_: risk.FreezeClaimsResponse(rules=self._frozen(True)),
            "ThawClaims": lambda *_: risk.ThawClaimsResponse(rules=self._frozen(False)),
            "AddListEntries": self._add,
            "RemoveListEntries": self._remove,
            "ListListEntries": self._list,
        }

    def _update(self, request, _context):
        wanted = v1.Rules()
        wanted.CopyFrom(request.rules)
        wanted.tightened.extend(self.rules.tightened)
        wanted.claims_frozen = self.rules.claims_frozen
        if not request.validate_only:
            self._set(wanted)
        return risk.UpdateRulesResponse(rules=wanted)

    def _set(self, rules):
        rules.etag = str(int(self.rules.etag) + 1)
        self.rules = rules

    def _tighten(self, request, _context):
        self._drop(request.rule.name)
        self.rules.tightened.append(request.rule)
        return risk.TightenRuleResponse(rules=self.rules)

    def _loosen(self, request, _context):
        self._drop(request.name)
        return risk.LoosenRuleResponse(rules=self.rules)

    def _drop(self, name):
        kept = [each for each in self.rules.tightened if each.name != name]
        del self.rules.tightened[:]
        self.rules.tightened.extend(kept)

    def _frozen(self, frozen):
        self.rules.claims_frozen = frozen
        return self.rules

    def _add(self, request, _context):
        told = []
        for ref in (*map(ref_of, request.subjects), *request.refs):
            entry = v1.ListEntry(
                subject=ref,
                list=request.list,
                reason=request.reason,
                add_time=Timestamp(seconds=ADDED),
                principal="anonymous",
            )
            if request.HasField("expire_time"):
                entry.expire_time.CopyFrom(request.expire_time)
            self.entries[key(request.list, entry.subject)] = entry
            told.append(entry)
        return risk.AddListEntriesResponse(entries=told, total=len(self.entries))

    def _remove(self, request, _context):
        refs = [*map(ref_of, request.subjects), *request.refs]
        removed = [self.entries.pop(key(request.list, each), None) for each in refs]
        return risk.RemoveListEntriesResponse(
            removed=sum(each is not None for each in removed), total=len(self.entries)
        )

    def _list(self, request, _context):
        found = [self.entries[each] for each in sorted(self.entries) if request.list in (0, each[0])]
        first, size = int(request.page_token or 0), request.page_size or 100
        token = str(first + size) if first + size < len(found) else ""
        return risk.ListListEntriesResponse(
            entries=found[first : first + size], next_page_token=token, total=len(self.entries)
        )


def ref_of(subject):
    """A subject as the service keeps it; the digest is made up."""
    kind = subject.WhichOneof("subject")
    number = subject.DESCRIPTOR.fields_by_name[kind].number
    value = getattr(subject, kind)
    if kind == "coupon":
        return v1.SubjectRef(kind=number, id=f"{value.campaign}:{value.serial}")
    if kind == "network" and "/" in value:
        return v1.SubjectRef(kind=number, id=value)
    return v1.SubjectRef(kind=number, id=value.encode().hex()[:16].rjust(16, "0"))


def key(which, ref):
    return which, ref.kind, ref.id
