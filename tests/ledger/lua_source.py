"""The library's source, for tests that read it: its files, its functions, their commands, and who calls whom."""

import re
from importlib.resources import files

from redemption.ledger.library import _PARTS

CALLS = re.compile(r"(?<![\w.'])([a-z_]\w*(?:\.\w+)?)\(")
ALIAS = re.compile(r"(?m)^local ([\w, ]+) = ([\w., ]+)$")
EXPORT = re.compile(r"(?m)^(\w+\.\w+) = (\w+)$")


def texts():
    """Every file of the library."""
    folder = files("redemption.ledger") / "lua"
    return {part: (folder / f"{part}.lua").read_text(encoding="utf-8") for part in _PARTS}


def without_comments(text):
    return re.sub(r"--.*", "", text)


def functions(sources=None):
    """Every function of the library at the left margin: file, name, and its text without comments."""
    for part, text in (sources or texts()).items():
        for block in re.split(r"(?m)^(?=(?:local )?function )", without_comments(text))[1:]:
            name = re.match(r"(?:local )?function ([\w.]+)", block)[1]
            one_line = re.match(r".*\bend$", block.split("\n", 1)[0])
            yield part, name, block.split("\n", 1)[0] if one_line else block.partition("\nend\n")[0]


def commands(text):
    """Commands in a text, in their order, with where they stand."""
    return [(found.start(), found[1]) for found in re.finditer(r"(?:command|redis\.p?call)\('([A-Z]+)'", text)]


class Calls:
    """Who calls whom in some sources; a function is its file and its name."""

    def __init__(self, sources):
        self.texts = {(part, name): text for part, name, text in functions(sources)}
        self._names = {part: self._named(part, sources[part]) for part in sources}

    def _named(self, part, source):
        """What a function of a file can be called there, beside the name that it has."""
        named = {name: (of, name) for of, name in self.texts if of == part or "." in name}
        for other in self._names_of_exports(part, source):
            named |= other
        for left, right in ALIAS.findall(without_comments(source)):
            pairs = zip(left.split(", "), right.split(", "), strict=False)
            named |= {alias: named[name] for alias, name in pairs if name in named}
        return named

    def _names_of_exports(self, part, source):
        for exported, name in EXPORT.findall(without_comments(source)):
            yield {exported: (part, name)}

    def of(self, function):
        """The functions of the library that a function calls."""
        part, _ = function
        body = self.texts[function].partition("\n")[2] or self.texts[function].partition(")")[2]
        named = self._names[part]
        return {named[called] for called in CALLS.findall(body) if called in named}

    def reached(self, *begin):
        """These functions, and all that they call, directly or not."""
        found, left = set(), set(begin)
        while left:
            function = left.pop()
            if function not in found:
                found.add(function)
                left |= self.of(function)
        return found
