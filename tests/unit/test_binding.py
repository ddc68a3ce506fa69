"""Why a port can't be had, and what to do: learnt from the errors of real sockets."""

import asyncio
import socket
from contextlib import closing

import pytest

from motehub.binding import why_not_bound


async def refusal(host: str, port: int) -> tuple[str, str]:
    """Return what is said about listening on ``host`` and ``port``, which fails."""
    with pytest.raises((OSError, UnicodeError)) as caught:
        await asyncio.get_running_loop().create_server(asyncio.Protocol, host, port)
    assert isinstance(caught.value, OSError | UnicodeError)
    return why_not_bound(caught.value, host, port)


async def test_a_port_in_use_is_named_so() -> None:
    """Only then is there a program to stop."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        reason, mend = await refusal("127.0.0.1", other.getsockname()[1])
    assert reason == "the port is in use"
    assert "Stop the program" in mend


@pytest.mark.parametrize(
    ("host", "words"),
    [
        ("no-such-host.invalid", "is not known"),
        ("192.0.2.1", "192.0.2.1 is no address of this machine"),
        ("a" * 300, "is no host name"),
    ],
)
async def test_a_host_that_is_not_ours(host: str, words: str) -> None:
    """An unknown host, an address of somebody else and an impossible name are no busy ports."""
    reason, mend = await refusal(host, 0)
    assert words in reason
    assert len(reason) < 150
    assert "0.0.0.0" in mend


def test_a_port_that_needs_rights() -> None:
    """A user who may not listen below 1024 is told so."""
    reason, mend = why_not_bound(PermissionError(13, "Permission denied"), "127.0.0.1", 80)
    assert reason == "this user may not listen on port 80"
    assert "1024" in mend
