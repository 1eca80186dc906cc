"""Converts the server's violations of a campaign into problems in the words of its file."""

from redemption.cli.campaign_file.field_names import file_path, number_text
from redemption.cli.input.source_file import FieldPath, Problem, dotted
from redemption.client import FieldViolation
from redemption.v1 import campaign_pb2 as v1

# The sentence for each reason of the server. ``others`` are the other fields that the server names, ``values`` their
# values. For a reason that is not here the server's own sentence is used.
_SENTENCES = {
    "ONE_OF": "must have one of {options}",
    "OUT_OF_RANGE": "must be {least} to {most}; it is {given}",
    "DUPLICATE": "is the same as {others[0]}; name each only once",
    "MORE_THAN_OTHER": "must be at most the {values[0]} of {others[0]}; it is {given}",
    "LESS_THAN_OTHER": "must be at least the {values[0]} of {others[0]}; it is {given}",
    "NOT_RISING": "must be more than the {values[0]} of {others[0]}, because tiers rise; it is {given}",
    "NO_GAIN": (
        "gives no more than a lower tier: raise it above {values[0]} or cap above {values[1]}; "
        "it is {given}, and cap is {values[2]}"
    ),
    "OVERLAP": (
        "must be at least {values[0]}, the end of the slot before, because slots rise and do not overlap; it is {given}"
    ),
    "OVER_MIDNIGHT": (
        "must be after {others[0]}, which is {values[0]}; it is {given}; "
        "a slot ends with the day, so make two where one would run over midnight"
    ),
    "NEVER_OPEN": "is the same as {others[0]}, so it would never be open; a whole day is from 00:00 to 24:00",
    "ONLY_WITH_OTHER": "can only be given with {others[0]}; without that, leave it out",
    "ONLY_WITH_UNITS": "can only be given with a threshold in units; write units instead of spend",
    "NO_LIST_PRICE": (
        "must not be list with {others[0]}: free shipping and prices are not computed on list prices; "
        "leave it out, or move the offer to another campaign"
    ),
    "IMMUTABLE": "cannot change; {others[0]} is {values[0]}, and {others[1]} is {values[1]}",
}


def file_problem(violation: FieldViolation, campaign: v1.Campaign) -> Problem:
    """Return a violation as a problem: its path in the file, and a sentence."""
    path = file_path(violation.field, campaign)
    try:
        sentence = _SENTENCES[violation.reason].format_map(_words(violation, path, campaign))
    except (KeyError, IndexError):  # there is no sentence for it, or the server did not send its values
        sentence = violation.problem
    return Problem(path, sentence)


def _words(violation: FieldViolation, path: FieldPath, campaign: v1.Campaign) -> dict[str, str | list[str]]:
    """Return the values for a sentence, as people write them; a number that the server did not send is left out."""
    numbers = {"least": violation.least, "most": violation.most, "given": violation.given}
    words: dict[str, str | list[str]] = {
        name: number_text(number, violation.field, campaign) for name, number in numbers.items() if number is not None
    }
    others = [_seen_from(path, file_path(other.field, campaign)) for other in violation.others]
    words["others"] = others
    words["values"] = [
        number_text(other.value, other.field, campaign) for other in violation.others if other.value is not None
    ]
    if len(others) > 1:
        words["options"] = f"{', '.join(others[:-1])} or {others[-1]}"
    return words


def _seen_from(path: FieldPath, other: FieldPath) -> str:
    """Return the path of another field without the common beginning: ``budget``, seen from ``budget_per_day``."""
    shared = 0
    while shared < min(len(path), len(other) - 1) and path[shared] == other[shared]:
        shared += 1
    while shared and isinstance(other[shared], int):  # the path of an entry keeps the name of its list
        shared -= 1
    return dotted(other[shared:])
