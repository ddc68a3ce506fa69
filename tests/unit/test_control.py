"""The control socket: requests and answers in JSON lines, and clients that misbehave."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from motehub.control import SOCKET_NAME, ControlServer, RenameDevice, Request, Status, ask
from motehub.errors import InvalidName, NoHub


async def answer(request: Request) -> dict[str, Any]:
    """Be a hub that knows nothing but its status."""
    if isinstance(request, RenameDevice):
        raise InvalidName(f"{request.new_name!r} is taken.")
    return {"asked": type(request).__name__}


@pytest.fixture
async def folder(tmp_path: Path) -> AsyncIterator[Path]:
    """A data folder with a hub's control socket."""
    async with ControlServer(tmp_path, answer):
        yield tmp_path


async def test_requests_are_answered(folder: Path) -> None:
    """A result comes back as it is, an error as the same error."""
    assert await asyncio.to_thread(ask, folder, Status()) == {"asked": "Status"}
    with pytest.raises(InvalidName, match="taken"):
        await asyncio.to_thread(ask, folder, RenameDevice("a", "b"))


async def test_the_socket_is_for_its_owner_alone(folder: Path) -> None:
    """Nobody else may open it."""
    assert (folder / SOCKET_NAME).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("line", [b"", b"{}", b'{"type": "explode"}', b"\xff", b"[1, 2]"])
async def test_what_is_no_request_is_told(folder: Path, line: bytes) -> None:
    """A bad line gets an error and the connection goes on."""
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME)
    for _ in range(2):
        writer.write(line + b"\n")
        assert "not a request" in json.loads(await reader.readline())["error"]
    writer.close()


async def test_an_endless_line_ends_the_connection(folder: Path) -> None:
    """A line longer than any request is not collected for ever."""
    reader, writer = await asyncio.open_unix_connection(folder / SOCKET_NAME)
    writer.write(b"x" * 10_000_000)
    with suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()


async def test_a_client_that_stays_does_not_disturb_the_end(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Open connections are closed in order, without a trace in the log."""
    with caplog.at_level(logging.WARNING):
        async with ControlServer(tmp_path, answer):
            reader, writer = await asyncio.open_unix_connection(tmp_path / SOCKET_NAME)
            writer.write(b'{"type": "status"}\n')
            assert await reader.readline()
        assert await reader.read() == b""
        writer.close()
    assert caplog.records == []


def test_without_a_hub_there_is_no_answer(tmp_path: Path) -> None:
    """The error says that no hub runs, and on which folder."""
    with pytest.raises(NoHub, match=str(tmp_path)):
        ask(tmp_path, Status())
