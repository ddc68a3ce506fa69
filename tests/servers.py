"""Real servers of other makes, private to a test run: started here, and ended with it."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from itertools import count
from pathlib import Path
from typing import Any, Final, Self

import psutil
import psycopg
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.ports import free_port
from tests.server_process import START_SECONDS, ServerProcess

USER: Final = "motehub"
PASSWORD: Final = "pass word/%&"
"""Holds what has a meaning in a URL."""

_QUOTED: Final = "pass%20word%2F%25%26"
_UNPRIVILEGED: Final = ("postgres", "nobody")


class PostgresServer(ServerProcess):
    """A PostgreSQL of its own; see :class:`ServerProcess`."""

    def __init__(self, port: int = 0) -> None:
        super().__init__("postgres", port)
        self._programs = _programs()
        # PostgreSQL refuses to run as root, and tmp_path is for nobody else.
        self._user = _unprivileged() if os.geteuid() == 0 else None
        if self._user is not None:
            shutil.chown(self._folder, self._user)
        self._numbers = count(1)

    def __enter__(self) -> Self:
        """Make the server's files and start it."""
        secret = self._folder / "password"
        secret.write_text(PASSWORD, "utf-8")
        if self._user is not None:
            shutil.chown(secret, self._user)
        options = ["--username", USER, "--auth", "scram-sha-256", "--pwfile", str(secret)]
        options += ["--encoding", "UTF8", "--locale", "C.UTF-8", "--no-sync"]
        done = subprocess.run(
            [self._programs / "initdb", "--pgdata", str(self._data), *options],
            user=self._user,
            cwd=self._folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return super().__enter__()

    @property
    def _data(self) -> Path:
        return self._folder / "data"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command: list[str | Path] = [
            self._programs / "postgres",
            "-D",
            str(self._data),
            "-p",
            str(self.port),
        ]
        command += ["-h", "127.0.0.1", "-k", str(self._folder), "-c", "shared_buffers=64MB"]
        # It is killed here, not the system: what it has written is not lost with it.
        self._start([*command, "-c", "fsync=off"], self._answers, self._user)

    def _answers(self) -> bool:
        with suppress(psycopg.OperationalError):
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
            return True
        return False

    def url(self, database: str) -> str:
        """Return the address of ``database`` with the password in it."""
        return f"postgresql://{USER}:{_QUOTED}@127.0.0.1:{self.port}/{database}"

    def new_database(self) -> str:
        """Make an empty database and return its URL."""
        name = f"test_{next(self._numbers)}"
        with self.connect("postgres") as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return self.url(name)

    def drop(self, url: str) -> None:
        """Remove a database, and end whatever is connected to it."""
        with self.connect("postgres") as connection:
            connection.execute(f"DROP DATABASE {url.rpartition('/')[2]} WITH (FORCE)")

    def empty(self, url: str) -> None:
        """Leave a history as it was when it was new: far quicker than a new one."""
        with self.connect(url.rpartition("/")[2]) as connection:
            tables = connection.execute(
                "SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace "
                "AND relkind IN ('r', 'p') AND NOT relispartition "
                "AND relname NOT IN ('cursor', 'motehub_schema')"
            ).fetchall()
            deletions = [f"DELETE FROM {name};" for (name,) in tables]
            forgotten = "UPDATE cursor SET position = 0, journal = '';"
            connection.execute("".join([*deletions, forgotten]).encode())

    def connect(self, database: str) -> psycopg.Connection[tuple[object, ...]]:
        """Return a connection without transactions, as the server's administrator."""
        return psycopg.connect(self.url(database), autocommit=True)

    def stop(self) -> None:
        """Stop it as its administrator would, without waiting for clients."""
        self._end(signal.SIGINT)

    def _signal(self, number: signal.Signals) -> None:
        """Signal the server and all its processes; some may end meanwhile."""
        with suppress(psutil.NoSuchProcess):
            first = psutil.Process(self._process.pid)
            # From here on it starts no others.
            first.suspend()
            for one in (*first.children(recursive=True), first):
                with suppress(psutil.NoSuchProcess):
                    one.send_signal(number)


class RedisServer(ServerProcess):
    """A Redis of its own; see :class:`ServerProcess`.

    With ``durable`` it forgets nothing when it is killed; else it forgets everything. With
    ``tls`` it takes TLS on another port too, with a certificate that only ``authority`` vouches.
    """

    def __init__(self, *, durable: bool = False, tls: bool = False) -> None:
        super().__init__("redis")
        self._durable = durable
        self._tls_port = free_port() if tls else 0

    @property
    def url(self) -> str:
        """Address of database 0 with the password in it."""
        return f"redis://:{_QUOTED}@127.0.0.1:{self.port}/0"

    @property
    def tls_url(self) -> str:
        """Address of database 0 by TLS, with the password in it."""
        return f"rediss://:{_QUOTED}@127.0.0.1:{self._tls_port}/0"

    @property
    def authority(self) -> Path:
        """The PEM file by which its certificate is known."""
        return self._folder / "redis.crt"

    @property
    def _key(self) -> Path:
        return self._folder / "redis.key"

    def _make_certificate(self) -> None:
        command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt"]
        command += ["ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj", "/CN=redis"]
        command += ["-addext", "subjectAltName=IP:127.0.0.1"]
        command += ["-keyout", str(self._key), "-out", str(self.authority)]
        subprocess.run(command, check=True, capture_output=True)

    @property
    def unix_url(self) -> str:
        """Address of its Unix socket with the password, up to the path."""
        return f"unix://:{_QUOTED}@"

    def start(self) -> None:
        """Start the server and wait until it answers."""
        assert shutil.which("redis-server"), "'make ready-tests' installs redis-server."
        options = ["--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        options += ["--dir", str(self._folder), "--requirepass", PASSWORD]
        options += ["--unixsocket", str(self.socket)]
        if self._tls_port:
            self._make_certificate()
            options += ["--tls-port", str(self._tls_port), "--tls-auth-clients", "no"]
            options += ["--tls-cert-file", str(self.authority), "--tls-key-file", str(self._key)]
        if self._durable:
            # Written before each answer, though not to the disk: the system does not die here.
            options += ["--appendonly", "yes", "--appendfsync", "no"]
        self._start(["redis-server", *options], self._answers)

    def _answers(self) -> bool:
        with self.connect() as client, suppress(redis.ConnectionError):
            return bool(client.ping())
        return False

    @property
    def socket(self) -> Path:
        """Its Unix socket."""
        return self._folder / "redis.sock"

    def connect(self) -> redis.Redis:
        """Return a client that sees texts."""
        return redis.Redis(
            port=self.port,
            password=PASSWORD,
            decode_responses=True,
            retry=Retry(NoBackoff(), 0),
            socket_timeout=30,
        )

    def cli(self, *arguments: str) -> str:
        """Run ``redis-cli`` and return what it prints."""
        return subprocess.run(
            ["redis-cli", "-p", str(self.port), "--no-auth-warning", *arguments],
            env=os.environ | {"REDISCLI_AUTH": PASSWORD},
            capture_output=True,
            text=True,
            check=True,
        ).stdout


class MosquittoServer(ServerProcess):
    """A Mosquitto of its own, MQTT on ``port``, WebSocket on demand; see :class:`ServerProcess`.

    ``password`` guards it (user :data:`USER`); without, anyone may connect. ``settings`` are
    lines for its configuration. With ``durable`` its sessions and retained messages survive a
    stop (Mosquitto itself keeps them in memory until then).
    """

    def __init__(
        self,
        *,
        password: str | None = None,
        websocket: bool = False,
        durable: bool = False,
        settings: Sequence[str] = (),
    ) -> None:
        super().__init__("mosquitto")
        self._password = password
        self._durable = durable
        self._settings = settings
        self.websocket_port = free_port() if websocket else None

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        configuration = self._folder / "mosquitto.conf"
        configuration.write_text("\n".join(self._lines()) + "\n")
        self._start([_mosquitto(), "-c", str(configuration)], self._answers)

    def _answers(self) -> bool:
        with suppress(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", self.port), START_SECONDS).close()
            return True
        return False

    def stop(self) -> None:
        """Stop it as its administrator would."""
        self._end(signal.SIGTERM)

    def _lines(self) -> list[str]:
        # Not stdout, which it would write when 4 KiB have come together.
        lines = ["log_dest stderr"]
        if not any(line.startswith("log_type") for line in self._settings):
            lines += ["log_type all"]
        # As root it would become another user, who can't read this folder.
        lines += ["user root"] if os.geteuid() == 0 else []
        if self._password is None:
            lines += ["allow_anonymous true"]
        else:
            secrets = self._folder / "passwords"
            secrets.write_text(f"{USER}:{self._password}\n")
            secrets.chmod(0o600)
            subprocess.run(["mosquitto_passwd", "-U", str(secrets)], check=True)
            lines += ["allow_anonymous false", f"password_file {secrets}"]
        if self._durable:
            lines += ["persistence true", f"persistence_location {self._folder}/"]
        lines += self._settings
        lines += [f"listener {self.port} 127.0.0.1"]
        if self.websocket_port is not None:
            lines += [f"listener {self.websocket_port} 127.0.0.1", "protocol websockets"]
        return lines


def readings_in(client: redis.Redis) -> list[dict[str, str]]:
    """Return the entries of the stream of readings, oldest first."""
    entries: Any = client.xrange("motehub:readings")
    return [fields for _, fields in entries]


def _mosquitto() -> str:
    """Return the program; Debian keeps it where not everybody's PATH leads."""
    found = shutil.which("mosquitto", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
    assert found, "There is no Mosquitto here. 'make ready-tests' installs one."
    return found


def _programs() -> Path:
    """Return the folder of PostgreSQL's programs; Debian does not put them into PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=_version)
    if found:
        return found[-1].parent
    if in_path := shutil.which("initdb"):
        return Path(in_path).resolve().parent
    raise AssertionError("There is no PostgreSQL server here. 'make ready-tests' installs one.")


def _version(initdb: Path) -> tuple[int, ...]:
    return tuple(int(part) for part in initdb.parts[-3].split(".") if part.isdigit())


def _unprivileged() -> str:
    known = {entry.pw_name for entry in pwd.getpwall()}
    return next(name for name in _UNPRIVILEGED if name in known)
