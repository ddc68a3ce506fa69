"""The owner's requests to a hub: over a socket in the data folder, or straight when none runs.

The socket is a Unix socket that only the data folder's owner can open; requests and answers
are JSON lines.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import msgspec

from motehub import errors
from motehub.alert_requests import AlertRequest, carry_out_for_alerts
from motehub.command import DEFAULT_SECONDS, Command, Value
from motehub.core.audit import doing
from motehub.core.calibrations import Calibration
from motehub.core.hub import Hub
from motehub.core.shapes import show_command
from motehub.deeds import deed_of
from motehub.errors import ControlError, MotehubError, NoHub, OwnerError
from motehub.model import Scope, Token
from motehub.people_requests import PeopleRequest, carry_out_for_people
from motehub.report_requests import ReportRequest, carry_out_for_reports
from motehub.retention_requests import RetentionRequest, carry_out_for_retention
from motehub.transfer import pieces
from motehub.unit_requests import UnitRequest, carry_out_for_units
from motehub.units import UnitDesk

SOCKET_NAME: Final = "control.sock"
_CLOSE_SECONDS: Final = 1.0
_ANSWER_SECONDS: Final = 30.0
# A piece of an import is the longest request: up to 1 MiB, which is a third more in base64.
_LINE_BYTES: Final = 2 * 2**20


class AcceptDevice(msgspec.Struct, frozen=True, tag="accept"):
    """Let a device write, under a new name if one is given."""

    name: str
    new_name: str | None = None


class RenameDevice(msgspec.Struct, frozen=True, tag="rename"):
    """Give a device another name."""

    name: str
    new_name: str


class BlockDevice(msgspec.Struct, frozen=True, tag="block"):
    """Refuse everything that a device sends."""

    name: str


class RemoveDevice(msgspec.Struct, frozen=True, tag="remove"):
    """Remove a device and everything that is stored of it."""

    name: str


class CalibrateSeries(msgspec.Struct, frozen=True, tag="calibrate"):
    """Let the numbers of a device's metric be calibrated so from now on."""

    name: str
    metric: str
    calibration: Calibration


class CreateToken(msgspec.Struct, frozen=True, tag="create_token"):
    """Make a token; ``secret`` is a key that devices have already, ``expires`` in µs."""

    name: str
    scopes: tuple[Scope, ...]
    devices: tuple[str, ...] = ()
    secret: str | None = None
    expires: int | None = None


class ListTokens(msgspec.Struct, frozen=True, tag="list_tokens"):
    """Tell which tokens there are."""


class RevokeToken(msgspec.Struct, frozen=True, tag="revoke_token"):
    """Let a token be good for nothing."""

    name: str


class ImportReadings(msgspec.Struct, frozen=True, tag="import"):
    """Take in readings of another system; ``content`` is from ``motehub.transfer.pieces``."""

    content: bytes


class SendCommand(msgspec.Struct, frozen=True, tag="send_command"):
    """Give a device a command: ``setting`` is to be ``value``, or a payload as it is."""

    device: str
    setting: str | None = None
    value: Value | None = None
    payload: str | None = None
    seconds: float = DEFAULT_SECONDS


class FindCommand(msgspec.Struct, frozen=True, tag="find_command"):
    """Tell where a command stands."""

    id: str


class Status(msgspec.Struct, frozen=True, tag="status"):
    """Tell how the hub is."""


DeviceRequest = AcceptDevice | RenameDevice | BlockDevice | RemoveDevice | CalibrateSeries
TokenRequest = CreateToken | ListTokens | RevokeToken
CommandRequest = SendCommand | FindCommand
ChangingRequest = (
    DeviceRequest
    | TokenRequest
    | CommandRequest
    | UnitRequest
    | PeopleRequest
    | RetentionRequest
    | AlertRequest
    | ReportRequest
    | ImportReadings
)
Request = ChangingRequest | Status


class Answer(msgspec.Struct, frozen=True, omit_defaults=True):
    """``result`` on success; otherwise ``error`` is a sentence and ``kind`` the error's class."""

    result: dict[str, Any] = {}
    error: str | None = None
    kind: str | None = None


HealthReport = Callable[[], dict[str, Any]]


async def carry_out(
    hub: Hub, request: Request, health: HealthReport, units: UnitDesk | None = None
) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: there is no such device, token or command, or the new one can't be.
    """
    if isinstance(request, Status):
        return health()
    with doing(deed_of(request)):
        result = await _carry_out(hub, request, units)
        hub.note_deed()
    return result


async def _carry_out(hub: Hub, request: ChangingRequest, units: UnitDesk | None) -> dict[str, Any]:
    if isinstance(request, TokenRequest):
        return await _carry_out_for_token(hub, request)
    if isinstance(request, CommandRequest):
        return _shown(hub, await _carry_out_command(hub, request))
    if isinstance(request, PeopleRequest):
        return await carry_out_for_people(hub, request)
    if isinstance(request, RetentionRequest):
        return await carry_out_for_retention(hub, request)
    if isinstance(request, AlertRequest):
        return await carry_out_for_alerts(hub, request)
    if isinstance(request, ReportRequest):
        return await carry_out_for_reports(hub, request)
    if isinstance(request, UnitRequest):
        return await carry_out_for_units(hub, units, request)
    if isinstance(request, ImportReadings):
        receipts = await pieces.take_in(hub, pieces.unpack(request.content))
        return {"receipts": [(one.taken, one.rejected, one.reason) for one in receipts]}
    return await _carry_out_for_device(hub, request)


async def _carry_out_for_device(hub: Hub, request: DeviceRequest) -> dict[str, Any]:
    match request:
        case AcceptDevice(name, new_name):
            device = await hub.accept_device(name, new_name)
        case RenameDevice(name, new_name):
            device = await hub.rename_device(name, new_name)
        case BlockDevice(name):
            device = await hub.block_device(name)
        case RemoveDevice(name):
            device = await hub.remove_device(name)
        case CalibrateSeries(name, metric, calibration):
            await hub.calibrate(name, metric, calibration)
            device = hub.registry.by_name(name)
    return {"name": device.name, "admission": device.admission.value}


async def _carry_out_for_token(hub: Hub, request: TokenRequest) -> dict[str, Any]:
    match request:
        case CreateToken(name, scopes, devices, secret, expires):
            # Nobody but the owner of the data folder can open the socket.
            return {"secret": await hub.create_token(name, scopes, devices, secret, expires)}
        case ListTokens():
            return {"tokens": [_without_digest(token) for token in hub.tokens.all()]}
        case RevokeToken(name):
            return {"name": (await hub.revoke_token(name)).name}


async def _carry_out_command(hub: Hub, request: CommandRequest) -> Command:
    match request:
        case SendCommand(device, setting, value, payload, seconds):
            return await hub.command(device, setting, value, payload, seconds)
        case FindCommand(id_):
            return hub.commands.book.find(id_)


def _shown(hub: Hub, command: Command) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(
        show_command(command, hub.registry.by_id(command.device))
    )
    return shown


def _without_digest(token: Token) -> dict[str, Any]:
    return {
        "name": token.name,
        "scopes": [scope.value for scope in token.scopes],
        "devices": list(token.devices),
        "created": token.created,
        "expires": token.expires,
    }


class ControlServer:
    """Answers requests on the control socket of ``folder``."""

    def __init__(
        self, folder: Path, answer: Callable[[Request], Awaitable[dict[str, Any]]]
    ) -> None:
        self._path = folder / SOCKET_NAME
        self._answer = answer
        self._server: asyncio.Server | None = None
        self._clients: dict[asyncio.Task[None] | None, asyncio.StreamWriter] = {}

    async def __aenter__(self) -> ControlServer:
        """Open the socket."""
        self._path.unlink(missing_ok=True)
        self._server = await asyncio.start_unix_server(self._serve, self._path, limit=_LINE_BYTES)
        self._path.chmod(0o600)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the socket, and the connections of clients that stay."""
        assert self._server is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for writer in self._clients.values():
            writer.close()
        if tasks := [task for task in self._clients if task is not None]:
            await asyncio.wait(tasks, timeout=_CLOSE_SECONDS)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        self._clients[task] = writer
        try:
            while line := await reader.readline():
                writer.write(msgspec.json.encode(await self._handle(line)) + b"\n")
                await writer.drain()
        except (ConnectionError, ValueError):
            # The client went away, or sent a line longer than any request.
            pass
        finally:
            del self._clients[task]
            writer.close()

    async def _handle(self, line: bytes) -> Answer:
        try:
            request: Request = msgspec.json.decode(line, type=Request)
            return Answer(await self._answer(request))
        except msgspec.MsgspecError as error:
            return Answer(error=f"not a request: {error}", kind="ControlError")
        except MotehubError as error:
            return Answer(error=str(error), kind=type(error).__name__)


def answers(folder: Path) -> bool:
    """Tell whether a hub listens on the control socket of ``folder``."""
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(folder / SOCKET_NAME))
    except OSError:
        return False
    return True


def ask(folder: Path, request: Request) -> dict[str, Any]:
    """Send ``request`` to the hub that runs on ``folder`` and return its result.

    Raises:
        NoHub: none runs on it.
        ControlError: the hub does not answer.
        OwnerError: the hub says what is wrong with the request.
    """
    path = folder / SOCKET_NAME
    try:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(_ANSWER_SECONDS)
            connection.connect(str(path))
            connection.sendall(msgspec.json.encode(request) + b"\n")
            with connection.makefile("rb") as lines:
                answer = msgspec.json.decode(lines.readline(), type=Answer)
    except (FileNotFoundError, ConnectionRefusedError) as error:
        raise _no_hub(folder) from error
    except (OSError, msgspec.MsgspecError) as error:
        raise ControlError(f"The hub does not answer on {path}: {error}.") from error
    return _result(answer)


class Client:
    """A connection to the hub that runs on ``folder``, for many requests one after another.

    Unlike ``ask`` it waits as long as the hub takes, for instance while its journal is full.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._reader: asyncio.StreamReader
        self._writer: asyncio.StreamWriter

    async def __aenter__(self) -> Client:
        """Connect.

        Raises:
            NoHub: none runs on the folder.
        """
        try:
            self._reader, self._writer = await asyncio.open_unix_connection(
                self._folder / SOCKET_NAME, limit=_LINE_BYTES
            )
        except (FileNotFoundError, ConnectionRefusedError) as error:
            raise _no_hub(self._folder) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the connection."""
        self._writer.close()

    async def ask(self, request: Request) -> dict[str, Any]:
        """Return the hub's answer.

        Raises:
            ControlError: the hub has ended the connection.
            OwnerError: the hub says what is wrong with the request.
        """
        try:
            self._writer.write(msgspec.json.encode(request) + b"\n")
            await self._writer.drain()
            answer = msgspec.json.decode(await self._reader.readline(), type=Answer)
        except (OSError, msgspec.MsgspecError) as error:
            raise ControlError("The hub has stopped, or ended the connection.") from error
        return _result(answer)


def _no_hub(folder: Path) -> NoHub:
    return NoHub(
        f"No hub runs on {folder}. Start one with 'motehub serve --data {folder}' "
        "('motehub base' for a base unit)."
    )


def _result(answer: Answer) -> dict[str, Any]:
    """Return what the hub says, or raise the error that it tells of."""
    if answer.error is not None:
        kind = getattr(errors, answer.kind or "", ControlError)
        raise (kind if issubclass(kind, OwnerError) else ControlError)(answer.error)
    return answer.result
