"""Asks the dashboard for the signature that lets a base unit hear the private channel."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar
from urllib.parse import urlencode

import msgspec

from motehub.errors import ConfigurationError
from motehub.http_client import HttpClient, NoAnswer, check_header, place_of, tls_context
from motehub.protocols.pusher.requests import ANSWERS
from motehub.transports._pusher_client_settings import SECTION, Settings

_FORM: Final = "application/x-www-form-urlencoded"
_TOKEN_BYTES: Final = 4_096
_LONGEST: Final = 4_096

_Result = TypeVar("_Result")


class Signature(msgspec.Struct, frozen=True):
    """What the dashboard answers: ``channel_data`` goes with it where there is some.

    ``answers`` is true where a motehub listens to what becomes of its requests.
    """

    auth: str
    channel_data: str | None = None
    answers: Any = None


class Authoriser:
    """Knows the dashboard, and what it asks for.

    Raises:
        ConfigurationError: the certificate file or that of the token can't be used.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._place = place_of(settings.api_url)
        self._target = self._place.target.rstrip("/") + settings.auth
        token_of(settings)
        self._tls()

    async def sign(self, socket_id: str, channel: str) -> Signature | str:
        """Return the signature for this connection, or why there is none, in words for people."""
        return await _in_thread(lambda: self._ask(socket_id, channel))

    def _ask(self, socket_id: str, channel: str) -> Signature | str:
        try:
            # The file may hold another token by now.
            token, tls = token_of(self._settings), self._tls()
        except ConfigurationError as error:
            return str(error)
        client = HttpClient(self._place, tls)
        headers = [
            ("Authorization", f"Bearer {token}"),
            ("Content-Type", _FORM),
            ("Accept", "application/json"),
        ]
        fields = {"socket_id": socket_id, "channel_name": channel, ANSWERS: "1"}
        body = urlencode(fields).encode()
        answer = client.request("POST", self._target, headers, body, self._settings.timeout)
        client.close()
        where = f"{self._place.shown} does not authorise {channel}"
        if isinstance(answer, NoAnswer) or not answer.is_success:
            return f"{where}: {answer.reason}"
        try:
            signature = msgspec.json.decode(answer.body, type=Signature)
        except (ValueError, RecursionError):
            return f"{where}: its answer holds no signature"
        if len(signature.auth) + len(signature.channel_data or "") > _LONGEST:
            return f"{where}: its answer is too long"
        return signature

    def _tls(self) -> ssl.SSLContext | None:
        """Return how to check the dashboard: not kept, since all authorities take a megabyte."""
        return tls_context(self._settings.ca) if self._place.is_https else None


def token_of(settings: Settings) -> str:
    """Return the token that the dashboard knows.

    Raises:
        ConfigurationError: its file can't be read, or holds what can be no token.
    """
    if settings.api_token:
        return settings.api_token
    file = settings.api_token_file
    origin = f"{SECTION} api_token_file"
    try:
        with Path(file).open(encoding="utf-8") as content:
            token = content.read(_TOKEN_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
        raise ConfigurationError(f"{origin}: {file} can't be read ({why}).") from error
    try:
        check_header("Authorization", f"Bearer {token}")
    except ValueError:
        raise ConfigurationError(f"{origin}: {file} does not hold one token.") from None
    return token


async def _in_thread(work: Callable[[], _Result]) -> _Result:
    """Return what ``work`` returns; a hub that stops does not wait for it.

    The event loop's own threads would be waited for at its end.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[_Result] = loop.create_future()

    def settle(result: _Result | None, error: BaseException | None) -> None:
        if done.done():
            return
        if error is not None:
            done.set_exception(error)
        else:
            done.set_result(result)  # type: ignore[arg-type]  # the one or the other

    def run() -> None:
        result, fault = None, None
        try:
            result = work()
        except BaseException as error:
            fault = error
        try:
            loop.call_soon_threadsafe(settle, result, fault)
        except RuntimeError:
            # The loop is closed: nobody waits any more.
            return

    threading.Thread(target=run, name="pusher_client auth", daemon=True).start()
    return await done
