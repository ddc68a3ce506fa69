"""The rules of the source tree, which no reviewer should have to remember."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from motehub import config, parts
from motehub.cli import app
from motehub.config_sample import sample

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "motehub"

# Each area may import the areas named here, and itself. Top-level modules are areas too.
FOUNDATION = {"errors", "model", "command", "frames", "logs", "quantities", "tables", "__version__"}
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "model": {"errors"},
    "command": {"errors", "model"},
    "frames": {"command", "errors", "model"},
    "points": {"errors", "model"},
    "exact_json": set(),
    "json_times": {"exact_json", "model"},
    "quantities": {"errors"},
    "tables": set(),
    "logs": set(),
    "guessing": {"logs"},
    "binding": set(),
    "zones": {"errors", "model"},
    "protocols": {"errors", "model", "points", "exact_json", "json_times"},
    "mqtt_meaning": {"errors", "model", "exact_json", "json_times", "protocols"},
    "units": {"errors", "model", "quantities"},
    "contracts": FOUNDATION | {"mqtt_meaning", "units"},
    "rollups": {"model"},
    "archived": {"model", "rollups"},
    "counted": set(),
    "states": {"model", "rollups"},
    "summed": {"model", "rollups", "states"},
    "history_contract": {
        "archived",
        "counted",
        "errors",
        "frames",
        "model",
        "rollups",
        "states",
        "tables",
    },
    "rolling_states": {"history_contract", "rollups", "states"},
    "rolling": {"history_contract", "rolling_states", "rollups"},
    "archive": FOUNDATION | {"archived", "history_contract", "rollups", "transfer"},
    "expiring": {"history_contract", "rollups"},
    "sqlite_files": FOUNDATION,
    "mdns": FOUNDATION | {"contracts", "security"},
    "alerts": {"definitions", "errors", "model", "quantities"},
    "mail_addresses": set(),
    "languages": set(),
    "definitions": {"errors"},
    "schedules": {"definitions", "errors", "languages", "mail_addresses", "model", "zones"},
    "core": FOUNDATION
    | {"alerts", "contracts", "history_contract", "mail_addresses", "mirror_contract", "rollups"}
    | {"archived", "counted", "schedules", "states"},
    "journals": FOUNDATION | {"contracts", "sqlite_files"},
    "tally": FOUNDATION | {"history_contract"},
    "mirror_contract": {"model"},
    "mirrors": FOUNDATION | {"mirror_contract"},
    "stores": FOUNDATION
    | {"archived", "counted", "expiring", "history_contract", "rolling", "rolling_states"}
    | {"rollups", "sqlite_files", "states", "summed", "tally"},
    "security": FOUNDATION | {"contracts", "protocols"},
    "conversations": FOUNDATION,
    "reception": FOUNDATION | {"contracts", "conversations"},
    "handshakes": {"contracts"},
    "silence": set(),
    "tap": set(),
    "connections": FOUNDATION
    | {"contracts", "conversations", "handshakes", "reception", "security", "silence", "tap"},
    "listening": FOUNDATION | {"binding", "connections", "contracts", "reception"},
    "transports": FOUNDATION
    | {"contracts", "conversations", "guessing", "listening", "mqtt_meaning", "protocols"}
    | {"security"}
    | {"http_client", "websocket_frames", "silence", "units"},
    "reports": FOUNDATION
    | {"alerts", "archived", "core", "history_contract", "languages", "rollups", "schedules"}
    | {"states", "zones"},
    "http_exchange": FOUNDATION | {"contracts"},
    "http_client": {"errors"},
    "webhooks": FOUNDATION | {"contracts", "core", "http_client", "sqlite_files"},
    "alerting": FOUNDATION
    | {
        "alerts",
        "contracts",
        "core",
        "languages",
        "mail_addresses",
        "reports",
        "rollups",
        "schedules",
    }
    | {"sqlite_files", "webhooks", "zones"},
    "websocket_frames": set(),
    "web": FOUNDATION
    | {"contracts", "conversations", "core", "guessing", "http_exchange", "listening", "points"}
    | {"webhooks", "alerting", "alerts", "languages", "reports", "schedules", "zones"}
    | {"protocols"}
    | {"people_requests", "retention_requests", "unit_requests", "units", "websocket_frames"},
    "unit_requests": FOUNDATION | {"core", "units"},
    "people_requests": FOUNDATION | {"core"},
    "retention_requests": FOUNDATION | {"core"},
    "simulate": FOUNDATION | {"protocols"},
    "transfer": FOUNDATION | {"archived", "core", "history_contract", "reports"},
}
"""Areas that are not named here are above all others: app, cli, config and what they use."""

ABOVE = {
    "announcing",
    "archiver",
    "archiving",
    "backup",
    "app",
    "base",
    "base_unit",
    "certificates",
    "cli",
    "clock_watch",
    "config",
    "config_choices",
    "config_sample",
    "config_shown",
    "consumer_thread",
    "control",
    "data_folder",
    "deeds",
    "device_session_settings",
    "demo",
    "health",
    "importing",
    "moving",
    "noticing",
    "original_config",
    "doctor",
    "parts",
    "pusher_keys",
    "process",
    "reader",
    "run_file",
    "running_hub",
    "storage",
    "following",
    "forgetting",
    "mirror",
    "supervisor",
    "thinning",
    "upkeep",
    "webhook",
    "webhook_plans",
    "writer",
    "alert",
    "alert_plans",
    "alert_requests",
    "alert_trial",
    "own_address",
    "owner_desk",
    "report",
    "report_requests",
    "__main__",
    "__init__",
}

NO_IO = {"asyncio", "socket", "ssl", "selectors", "threading", "subprocess", "time", "os"}
NO_IO |= {"websockets", "aiomqtt", "paho"}


def modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def area_of(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def imports_of(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def areas_imported(path: Path) -> set[str]:
    return {name.split(".")[1] for name in imports_of(path) if name.startswith("motehub.")}


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_one_way(path: Path) -> None:
    """A module imports only from the areas below its own."""
    area = area_of(path)
    assert area in ALLOWED or area in ABOVE, f"{area} has no place in the import order yet"
    if area in ALLOWED:
        forbidden = areas_imported(path) - ALLOWED[area] - {area}
        assert not forbidden, f"{path.name} must not import {forbidden}"


@pytest.mark.parametrize("folder", ["transports", "stores", "mirrors", "protocols"])
def test_siblings_do_not_import_each_other(folder: str) -> None:
    """Parts of one kind know nothing of each other."""
    files = list((SOURCE / folder).glob("*.py"))
    names = {path.stem for path in files if not path.stem.startswith("_")}
    for path in files:
        siblings = {name for name in imports_of(path) if name.startswith(f"motehub.{folder}.")}
        # A file whose name begins with "_" belongs to the part of that name.
        part = next((n for n in names if path.stem.startswith(f"_{n}")), path.stem)
        own = {name for name in siblings if name.split(".")[2].startswith(f"_{part}")}
        assert siblings == own, f"{path.name} imports {siblings - own}"


@pytest.mark.parametrize(
    "path",
    [path for path in modules() if area_of(path) in {"protocols", "mqtt_meaning"}],
    ids=lambda path: path.name,
)
def test_protocols_do_no_io(path: Path) -> None:
    """Protocol code gets bytes and time as arguments and has no way to either by itself."""
    roots = {name.split(".")[0] for name in imports_of(path)}
    assert not roots & NO_IO


def test_the_hub_process_does_not_load_what_only_commands_need() -> None:
    """Packages that take megabytes stay out of the two processes that run for years."""
    import subprocess
    import sys

    code = (
        "import sys, motehub.app, motehub.config, motehub.cli; motehub.config.sections(); "
        "heavy = {'cryptography', 'rich', 'matplotlib', 'numpy', 'psycopg', 'redis', 'zeroconf'}; "
        "heavy &= set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_files_stay_short() -> None:
    """A file holds one idea: none is longer than 400 lines."""
    long = [p.name for p in modules() if len(p.read_text("utf-8").splitlines()) > 400]
    assert not long


def test_every_setting_is_documented() -> None:
    """docs/settings.md holds the sample configuration, which is made from the settings."""
    text = (ROOT / "docs" / "settings.md").read_text("utf-8")
    assert sample() in text, "run 'motehub init -' and put its output into docs/settings.md"


def test_every_command_and_option_is_documented() -> None:
    """docs/commands.md names every command with every option it has."""
    text = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for path, command in commands(app, "motehub"):
        assert f"`{path}" in text, f"{path} is not in docs/commands.md"
        section = text.split(f"`{path}", 1)[1].split("\n#", 1)[0]
        for option in command.params:
            for name in option.opts:
                if name.startswith("--"):
                    assert name in section, f"{name} of {path} is not in docs/commands.md"


def commands(group: click.Group, path: str) -> Iterator[tuple[str, click.Command]]:
    for name, command in sorted(group.commands.items()):
        if isinstance(command, click.Group):
            yield from commands(command, f"{path} {name}")
        else:
            yield f"{path} {name}", command


@pytest.mark.parametrize("name", sorted(parts.transports()))
def test_every_transport_has_a_protocol_document(name: str) -> None:
    """What a dialect's devices speak is written down in docs/protocols/."""
    document = ROOT / "docs" / "protocols" / f"{name.replace('_', '-')}.md"
    assert document.exists()


def test_documents_link_to_files_that_exist() -> None:
    """No relative link in a document is broken."""
    for document in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", document.read_text("utf-8")):
            assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_every_section_has_a_description_for_each_key() -> None:
    """Every key of every section says what it means."""
    assert set(config.sections()) >= {"hub", "journal", "store", "transport.dht_stream"}
    for line in sample().splitlines():
        if " = " in line and not line.startswith("#"):
            position = sample().splitlines().index(line)
            assert sample().splitlines()[position - 1].startswith("# ")
