"""Builds clients of other languages from tools/clients, and runs them with a plan."""

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
        name: Its name, which is also its folder in tools/clients.
        tools: The programs that must be on PATH.
        install: How to get these programs.
        build: The commands that build it, run in a copy of its folder.
        command: The command that runs it there; the path of a plan is appended.
        connections: How many connections all cases take, unless one is lost.
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
        language: Its language.
        version: The version that it reports; the language's name until it was run.
    """

    def __init__(self, language: Language) -> None:
        """Build it in a copy of its folder, so that the folder itself does not change.

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
        on_ask: Callable[[str], None] = lambda _: None,
        connections: int | None = None,
    ) -> None:
        """Run cases, and report each result.

        Args:
            report: Gets the results.
            cases: The cases.
            plan: The fields of the plan that say how to reach the server.
            prefix: Text before the name of each case.
            on_ask: Called with what the client asks for in the middle of a case, such as "restart".
            connections: How many connections all cases together must take; None: any number.
        """
        path = self._folder / "plan.json"
        path.write_text(json.dumps({**plan, "steps": [case.step for case in cases]}), encoding="utf-8")
        port = int(str(plan["target"]).rpartition(":")[2])
        left = deque(cases)
        seen: dict[str, Observation] = {}

        def take(line: Mapping[str, Any]) -> str:
            if "version" in line:
                self.version = str(line["version"])
            elif "ask" in line:
                on_ask(str(line["ask"]))
                return "done"
            else:
                case = left.popleft()
                observation = seen[case.name] = observation_of(line)
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
    """Build the wanted clients; report those whose tools are missing or that cannot be built."""
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
