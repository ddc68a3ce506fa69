"""What is wrong with a hub and its machine, and what to do about it."""

from __future__ import annotations

import enum
import shlex
import shutil
import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub import data_folder, parts
from motehub.binding import why_not_bound
from motehub.config import Configuration
from motehub.control import Status, ask
from motehub.errors import CertificateError, MotehubError, StorageError
from motehub.journals.sqlite import FILE_NAME as JOURNAL_FILE
from motehub.journals.sqlite import SqliteLogReader
from motehub.model import MICROSECONDS
from motehub.run_file import RUN_FILE, RunFile
from motehub.security.authority import Authority
from motehub.sqlite_files import check_database
from motehub.storage import open_store, where_history_is
from motehub.supervisor import HISTORY
from motehub.webhooks import desk
from motehub.webhooks.endpoints import BASE
from motehub.webhooks.outbox import BASE_FILE_NAME, FILE_NAME

LOW_DISK: Final = 500_000_000
"""Free bytes below which the disk is called nearly full."""

_NO_EARLIER: Final = datetime(2026, 1, 1, tzinfo=UTC)
_SYNCHRONISED: Final = Path("/run/systemd/timesync/synchronized")
_CONNECT_SECONDS: Final = 3.0


class Level(enum.Enum):
    """How bad a finding is."""

    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


class Finding(msgspec.Struct, frozen=True):
    """One thing that was looked at; ``mend`` says what to do when it is not well."""

    level: Level
    subject: str
    message: str
    mend: str = ""


def examine(configuration: Configuration) -> Iterator[Finding]:
    """Look at everything on which the hub of ``configuration`` depends."""
    folder = configuration.data_dir
    try:
        running = data_folder.exists(folder) and data_folder.is_owned(folder)
    except MotehubError as error:
        yield Finding(Level.PROBLEM, "data folder", str(error))
        return
    is_base = _is_base(configuration)
    subject = "base unit" if is_base else "hub"
    yield Finding(Level.OK, subject, f"{'running' if running else 'not running'} on {folder}")
    yield from _check_disk(folder)
    yield from _check_clock(folder)
    if not is_base:
        yield from _check_certificates(folder)
    yield _check_database(folder / JOURNAL_FILE)
    if not is_base:
        yield _check_history(configuration)
    for name, settings in configuration.mirror.items():
        yield _check_mirror(name, settings)
    yield from _check_outboxes(folder)
    if running:
        yield from _check_health(folder)
        yield from _check_listeners(folder)
    elif not is_base:
        for name, settings in configuration.transport.items():
            if not parts.transport(name).listens:
                continue
            yield _check_free(name, settings.host, settings.port)


def _is_base(configuration: Configuration) -> bool:
    """Tell whether it is a base unit alone: it has no history, no certificates and no ports."""
    folder = configuration.data_dir
    if data_folder.exists(folder, JOURNAL_FILE):
        return data_folder.is_of_base(folder)
    return "pusher_client" in configuration.transport and configuration.web is None


def _check_disk(folder: Path) -> Iterator[Finding]:
    place = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    free = shutil.disk_usage(place).free
    text = f"{free / 1e9:.1f} GB free on the disk of {folder}"
    if free < LOW_DISK:
        yield Finding(Level.WARNING, "disk", text, "Free some space, or move the data folder.")
    else:
        yield Finding(Level.OK, "disk", text)
    if folder.exists():
        try:
            data_folder.prepare(folder)
        except MotehubError as error:
            yield Finding(Level.PROBLEM, "data folder", str(error))
        if data_folder.readable_to_others(folder):
            text = f"Other users of this machine can look into {folder}."
            yield Finding(
                Level.WARNING, "data folder", text, f"chmod 700 {shlex.quote(str(folder))}"
            )


def _check_clock(folder: Path) -> Iterator[Finding]:
    now = datetime.now(UTC)
    mend = "Set the clock and have it kept: 'timedatectl set-ntp true' on most systems."
    newest = _newest_commit(folder)
    if now < _NO_EARLIER:
        yield Finding(Level.PROBLEM, "clock", f"The clock says {now:%Y-%m-%d}, years ago.", mend)
    elif newest is not None and newest > now + timedelta(minutes=1):
        text = (
            f"The clock says {now:%Y-%m-%d %H:%M}; the newest data is of {newest:%Y-%m-%d %H:%M}."
        )
        yield Finding(Level.PROBLEM, "clock", text, mend)
    elif _SYNCHRONISED.parent.exists() and not _SYNCHRONISED.exists():
        yield Finding(Level.WARNING, "clock", "The clock is not synchronised yet.", mend)
    else:
        yield Finding(Level.OK, "clock", f"{now:%Y-%m-%d %H:%M:%S} UTC")


def _newest_commit(folder: Path) -> datetime | None:
    if not (folder / JOURNAL_FILE).exists():
        return None
    reader = SqliteLogReader(folder)
    try:
        newest = reader.newest()
    except StorageError:
        # The check of the databases says so.
        return None
    finally:
        reader.close()
    return None if newest is None else datetime.fromtimestamp(newest / MICROSECONDS, UTC)


def _check_certificates(folder: Path) -> Iterator[Finding]:
    try:
        issued = Authority(folder).list()
    except CertificateError as error:
        yield Finding(Level.PROBLEM, "certificates", str(error), "Restore the file from a backup.")
        return
    now = datetime.now(UTC)
    for one in issued:
        name = f"certificate {one.kind} {one.name}".strip()
        if one.not_after < now:
            mend = "Run 'motehub certs renew'." if one.kind == "server" else "Make a new one."
            text = f"It expired on {one.not_after:%Y-%m-%d}."
            yield Finding(Level.PROBLEM, name, text, mend)
        elif one.not_before > now:
            text = f"It begins to be valid on {one.not_before:%Y-%m-%d}; is the clock right?"
            yield Finding(Level.PROBLEM, name, text, "Set the clock.")
        else:
            yield Finding(Level.OK, name, f"valid until {one.not_after:%Y-%m-%d}")
    if not issued:
        yield Finding(Level.OK, "certificates", "none yet; the first start makes them")


def _check_database(path: Path) -> Finding:
    if not path.exists():
        return Finding(Level.OK, path.name, "not there yet; the first start makes it")
    started = time.monotonic()
    try:
        check_database(path)
    except StorageError as error:
        mend = "Stop the hub, keep a copy of the file, and restore a backup."
        return Finding(Level.PROBLEM, path.name, str(error), mend)
    text = f"sound, {path.stat().st_size / 1e6:.1f} MB"
    return Finding(Level.OK, path.name, f"{text} (checked in {time.monotonic() - started:.1f} s)")


def _check_history(configuration: Configuration) -> Finding:
    """Check the file, or that the server lets us in: its own checks are its owner's matter."""
    where = where_history_is(configuration)
    if not parts.store(configuration.store.type).schemes:
        return _check_database(Path(where))
    try:
        store = open_store(configuration, read_only=True)
        try:
            position = store.position()
        finally:
            store.close()
    except MotehubError as error:
        return Finding(Level.PROBLEM, "history", str(error), "Readings wait in the journal.")
    return Finding(Level.OK, "history", f"{where} answers; it is at position {position}")


def _check_mirror(name: str, settings: Any) -> Finding:
    """Check that the mirror's server lets us in."""
    part = parts.mirror(parts.mirror_of(settings))
    try:
        mirror = part.open(settings)
        try:
            mirror.position("")
        finally:
            mirror.close()
    except MotehubError as error:
        mend = "The hub goes on without it, and catches up when it is back."
        return Finding(Level.PROBLEM, name, str(error), mend)
    return Finding(Level.OK, name, f"{part.where(settings)} answers")


def _check_outboxes(folder: Path) -> Iterator[Finding]:
    """Check what waits for receivers of webhooks, and for the dashboard of a base unit."""
    for name in (FILE_NAME, BASE_FILE_NAME):
        if (folder / name).exists():
            yield _check_database(folder / name)
    try:
        endpoints = desk.endpoints(folder)
    except StorageError:
        # The check of the database says so.
        return
    for one in endpoints:
        subject = "dashboard" if one.kind == BASE else f"webhook {one.name}"
        counts = f"{one.delivered} delivered, {one.waiting} waiting"
        if one.trouble:
            mend = f"'motehub webhooks log {one.name}' shows the attempts."
            yield Finding(Level.WARNING, subject, f"{one.trouble}; {counts}", mend)
        else:
            yield Finding(Level.OK, subject, f"{one.address}: {counts}")


def _check_commands(counters: dict[str, int]) -> Finding | None:
    """Check that a base unit hears what its dashboard asks; None when it does not try to."""
    subject = "commands of the dashboard"
    if code := counters["given_up"]:
        text = f"The server has closed the connection with {code}: it wants no such connection."
        return Finding(Level.PROBLEM, subject, text, "Look at key and host, and start it again.")
    if counters["subscribed"]:
        return Finding(Level.OK, subject, "heard")
    if not counters["connections"] + counters["connections_failed"]:
        return None
    why = "the subscription is refused" if counters["subscriptions_refused"] else "no connection"
    mend = "Look at the log. Commands wait at the dashboard meanwhile."
    return Finding(Level.WARNING, subject, f"Not heard: {why}.", mend)


def _check_health(folder: Path) -> Iterator[Finding]:
    try:
        health: dict[str, Any] = ask(folder, Status())
    except MotehubError as error:
        yield Finding(Level.PROBLEM, "control", str(error), "Restart the hub.")
        return
    if reason := health["journal"]["held_back"]:
        yield Finding(
            Level.PROBLEM, "journal", f"Senders are held back: {reason}", "Remove the cause."
        )
    # A base unit has no history.
    if trouble := health.get("writer", {}).get("trouble"):
        yield Finding(Level.PROBLEM, "history", trouble, "Readings wait in the journal until then.")
    for name, consumer in health["consumers"].items():
        if name != HISTORY and (trouble := consumer["trouble"]):
            mend = "The hub goes on without it, and catches up when it is back."
            yield Finding(Level.WARNING, name, trouble, mend)
        yield from _what_does_not_arrive(consumer)
    if (counters := health["transports"].get("pusher_client")) and (
        finding := _check_commands(counters)
    ):
        yield finding
    if pending := health["devices_pending"]:
        text = f"{pending} devices wait for approval"
        yield Finding(
            Level.WARNING, "devices", text, "See 'motehub devices list', then accept NAME."
        )


def _what_does_not_arrive(consumer: Mapping[str, Any]) -> Iterator[Finding]:
    """Tell of alerts and reports; of webhooks their outbox tells."""
    for one in consumer.get("undelivered", ()):
        if one["kind"] != "webhook":
            mend = "It is sent again and again. Settings → Mail and notifiers sends a test."
            yield Finding(Level.WARNING, f"{one['kind']} {one['name']}", one["reason"], mend)


def _check_listeners(folder: Path) -> Iterator[Finding]:
    """Connect to each TLS listener of the running hub as a device would."""
    try:
        run_file = msgspec.json.decode((folder / RUN_FILE).read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError) as error:
        yield Finding(
            Level.PROBLEM, RUN_FILE, str(error), "Wait for the start, or restart the hub."
        )
        return
    if not run_file.listeners:
        return
    context = ssl.create_default_context(cafile=run_file.ca)
    context.check_hostname = False
    for name, listener in run_file.listeners.items():
        subject = f"port {listener.port} ({name})"
        host = "127.0.0.1" if listener.host in {"0.0.0.0", "::"} else listener.host  # noqa: S104
        try:
            with socket.create_connection((host, listener.port), _CONNECT_SECONDS) as plain:
                if listener.tls:
                    context.wrap_socket(plain).close()
        except OSError as error:
            mend = "Look at the hub's log; restart it."
            yield Finding(Level.PROBLEM, subject, f"It does not answer: {error}.", mend)
        else:
            yield Finding(Level.OK, subject, f"answers{' over TLS' if listener.tls else ''}")


def _check_free(name: str, host: str, port: int) -> Finding:
    """Try whether a hub that is not running could open its port."""
    subject = f"port {port} ({name})"
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.create_server((host, port), family=family):
            return Finding(Level.OK, subject, "free")
    except (OSError, UnicodeError) as error:
        reason, mend = why_not_bound(error, host, port)
        return Finding(Level.PROBLEM, subject, f"It can't be used: {reason}.", mend)
