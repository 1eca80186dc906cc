"""Clients of other languages: built from tools/clients, and run with a plan."""

import json
import shutil
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from client_cases import Case
from client_plan import Observation, observation_of
from client_process import Failed, find, run, talk
from client_report import Report

ROOT: Final = Path(__file__).parent.parent
SOURCES: Final = ROOT / "tools" / "clients"
BUILD: Final = ROOT / "build" / "clients"
BUILD_SECONDS_MAX: Final = 300.0
PLAN_SECONDS_MAX: Final = 120.0


@dataclass(frozen=True, slots=True)
class Language:
    """A language's client.

    Attributes:
        name: Of its folder in tools/clients, too.
        tools: What must be on PATH.
        install: Where these come from.
        build: Commands that are run in a copy of its folder.
        command: What runs it there; a plan's path follows.
        connections: That all cases take, unless one is lost.
    """

    name: str
    tools: Sequence[str]
    install: str
    build: Sequence[Sequence[str]]
    command: Sequence[str]
    connections: int


LANGUAGES: Final = (
    Language(
        name="go",
        tools=("go",),
        install="Go 1.26 or newer, with the Go module proxy in reach",
        build=(("go", "build", "-o", "client", "."),),
        command=("./client",),
        connections=1,
    ),
    Language(
        name="node",
        tools=("node", "npm"),
        install="Node.js 20 or newer with npm, and the npm registry in reach",
        build=(("npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--silent"),),
        command=("node", "main.js"),
        # A compressed call needs a channel of its own.
        connections=2,
    ),
    Language(
        name="java",
        tools=("java", "mvn"),
        install="a JDK 17 or newer and Maven, and Maven Central in reach",
        build=(
            (
                *("mvn", "--quiet", "--batch-mode", "package", "dependency:copy-dependencies"),
                *("-DoutputDirectory=target/lib", "-DincludeScope=runtime"),
            ),
        ),
        command=("java", "-cp", "target/clients-1.jar:target/lib/*", "clients.Main"),
        connections=1,
    ),
)


class Client:
    """A client that was built.

    Attributes:
        language: Which.
        version: What it says it is, once it was run.
    """

    def __init__(self, language: Language) -> None:
        """Build it, in a copy, so that its folder stays as it is.

        Raises:
            Failed: It could not be built.
        """
        self.language = language
        self.version = language.name
        self._folder = BUILD / language.name
        shutil.copytree(SOURCES / language.name, self._folder, dirs_exist_ok=True)
        for command in language.build:
            built = run(command, seconds_max=BUILD_SECONDS_MAX, directory=self._folder)
            if built.code:
                raise Failed(f"{' '.join(command[:2])}: {built.last_words}")

    def try_cases(
        self,
        report: Report,
        cases: Sequence[Case],
        plan: Mapping[str, Any],
        *,
        prefix: str = "",
        asked: Callable[[str], None] = lambda _: None,
        connections: int | None = None,
    ) -> None:
        """Run cases, and tell how each went.

        Args:
            report: Where to tell it.
            cases: What to try.
            plan: How to reach the server.
            prefix: What to say before the name of each case.
            asked: Does what the client asks for.
            connections: How many connections all of it must take; None: any number.
        """
        path = self._folder / "plan.json"
        path.write_text(json.dumps({**plan, "steps": [case.step for case in cases]}), encoding="utf-8")
        port = int(str(plan["target"]).rpartition(":")[2])
        left = deque(cases)
        seen: dict[str, Observation] = {}

        def take(told: Mapping[str, Any]) -> str:
            if "version" in told:
                self.version = str(told["version"])
            elif "ask" in told:
                asked(str(told["ask"]))
                return "done"
            else:
                case = left.popleft()
                observation = seen[case.name] = observation_of(told)
                report.tried(self.version, prefix + case.name, case.judge(observation, seen), case.note(observation))
            return ""

        command = [*self.language.command, str(path)]
        try:
            found = talk(command, take, port=port, seconds_max=PLAN_SECONDS_MAX, directory=self._folder)
        except Failed as failure:
            report.tried(self.version, prefix + (left[0].name if left else "its end"), str(failure))
            return
        if connections is not None:
            problem = "" if found == connections else f"{found} were seen"
            report.tried(self.version, f"{prefix}on {connections} connection{'s' * (connections > 1)}", problem)


def built_clients(report: Report, wanted: Sequence[str]) -> list[Client]:
    """Build the clients that are wanted, and tell which cannot be."""
    clients = []
    for language in LANGUAGES:
        if language.name not in wanted:
            continue
        missing = [tool for tool in language.tools if find(tool) is None]
        if missing:
            report.missing(f"{language.name} ({', '.join(missing)})", language.install)
            continue
        try:
            clients.append(Client(language))
        except Failed as failure:
            report.tried(language.name, "build", str(failure))
    return clients
