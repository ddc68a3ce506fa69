"""The HTTP API of applications: signed requests to ``/apps/ID/…``, without sockets or clock."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import unquote

import msgspec

from motehub.protocols.pusher import names
from motehub.protocols.pusher.connection import Applications
from motehub.protocols.pusher.signatures import body_md5, why_denied

PATHS: Final = ("/apps/", "/users/")
"""How the paths of requests begin. A library of the protocol leaves the application out of one."""

_QUERY_BYTES: Final = 4_096
_MOST_PARAMETERS: Final = 50
_ROUTE: Final = re.compile(r"/apps/([^/]{1,40})/(.+)")
_OF_CHANNEL: Final = re.compile(r"channels/([^/]+)(/users)?")
_OF_USER: Final = re.compile(r"users/([^/]+)/terminate_connections")
# A string of JSON is up to six times as long as what it says, an event's name and channels aside.
_PER_BYTE: Final = 6
_BESIDE: Final = 65_536
_USERS: Final = "user_count"
_SUBSCRIPTIONS: Final = "subscription_count"
_CACHE: Final = "cache"


class ApiRequest(msgspec.Struct, frozen=True):
    """A request; ``raw_path`` is its path as it was sent, ``path`` that without escapes."""

    method: str
    path: str
    raw_path: str
    query: bytes


class ApiError(Exception):
    """A request that is not carried out, with HTTP's status and a line for people."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class _Event(msgspec.Struct, frozen=True):
    name: str
    data: str
    channels: list[str] = []
    channel: str | None = None
    socket_id: str | None = None
    info: str = ""


class _Batch(msgspec.Struct, frozen=True):
    batch: list[_Event]


class Call:
    """A request that comes from the application's owner, before its body is here.

    Raises:
        ApiError: it does not, or there is nothing at that address.
    """

    def __init__(self, applications: Applications, request: ApiRequest, now: float) -> None:
        self._query = _parameters(request.query)
        app_id, self._what = _route(request.path)
        key = self._query.get("auth_key", "")
        found = applications.of_id(app_id) if app_id is not None else applications.of_key(key)
        if found is None:
            raise ApiError(
                HTTPStatus.NOT_FOUND if app_id is not None else HTTPStatus.UNAUTHORIZED,
                "There is no such application",
            )
        self._application = found
        self._method = request.method
        self._check_signature(request, now)

    @property
    def body_limit(self) -> int:
        """How long the body may be, in bytes."""
        if self._method != "POST":
            return 0
        return _BESIDE + names.MOST_BATCHED * _PER_BYTE * self._application.limits.event_bytes

    def answer(self, body: bytes, now: int) -> dict[str, Any]:
        """Carry the request out, at ``now`` (µs), and return what answers it.

        Raises:
            ApiError: something about it is wrong.
        """
        wanted = self._query.get("body_md5")
        if (body or wanted is not None) and wanted != body_md5(body):
            raise ApiError(HTTPStatus.UNAUTHORIZED, "body_md5 is not that of the body")
        match self._method, self._what:
            case "POST", "events":
                (channels,) = self._send([_read(body, _Event)], now)
                return {"channels": channels} if channels else {}
            case "POST", "batch_events":
                return self._send_batch(_read(body, _Batch).batch, now)
            case "GET", "channels":
                return self._list_channels()
            case "POST", what if found := _OF_USER.fullmatch(what):
                self._application.disconnect(found[1])
                return {}
            case "GET", what if found := _OF_CHANNEL.fullmatch(what):
                return self._users(found[1]) if found[2] else self._channel(found[1], now)
        raise ApiError(HTTPStatus.NOT_FOUND, f"There is no {self._method} at this address")

    def _check_signature(self, request: ApiRequest, now: float) -> None:
        application = self._application
        if not application.enabled:
            raise ApiError(HTTPStatus.FORBIDDEN, "The application is switched off")
        keys = application.keys
        # Libraries sign the path as they have it, before or after escaping it.
        denied = [
            why_denied(keys.key, keys.secret, request.method, path, self._query, now)
            for path in dict.fromkeys([request.path, request.raw_path])
        ]
        if all(denied):
            raise ApiError(HTTPStatus.UNAUTHORIZED, f"{denied[0]}")

    def _send_batch(self, events: list[_Event], now: int) -> dict[str, Any]:
        if len(events) > names.MOST_BATCHED:
            reason = f"A batch has {names.MOST_BATCHED} events at most, not {len(events)}"
            raise ApiError(HTTPStatus.BAD_REQUEST, reason)
        told = self._send(events, now)
        if not any(told):
            return {}
        return {"batch": [next(iter(one.values()), {}) for one in told]}

    def _send(self, events: Sequence[_Event], now: int) -> list[dict[str, Any]]:
        """Send all events, or none; return what is asked of the channels of each."""
        channels = [self._checked(event) for event in events]
        told: list[dict[str, Any]] = []
        for event, wanted in zip(events, channels, strict=True):
            for name in wanted:
                but = (event.socket_id,) if event.socket_id is not None else ()
                self._application.publish(name, event.name, event.data, now, but)
            asked = _asked(event.info)
            told.append({name: self._about(name, asked) for name in wanted} if asked else {})
        self._application.counters["api_events"] += len(events)
        return told

    def _checked(self, event: _Event) -> list[str]:
        """Return the channels of an event that may be sent."""
        channels = list(dict.fromkeys(event.channels or ([event.channel] if event.channel else [])))
        wrong = names.why_no_event(event.name)
        if not 1 <= len(channels) <= names.MOST_CHANNELS:
            wrong = f"an event goes to 1 to {names.MOST_CHANNELS} channels, not {len(channels)}"
        if event.socket_id is not None and not names.is_socket_id(event.socket_id):
            wrong = "socket_id has the form 123.456"
        if len(channels) > 1 and any(map(names.is_encrypted, channels)):
            wrong = "an event to an encrypted channel goes to that alone"
        wrong = wrong or next(filter(None, map(names.why_no_channel, channels)), None)
        if wrong is not None:
            raise ApiError(HTTPStatus.BAD_REQUEST, _sentence(wrong))
        most = self._application.limits.event_bytes
        if len(event.data.encode("utf-8", "surrogatepass")) > most:
            raise ApiError(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"The data of an event may have {most} bytes",
            )
        return channels

    def _list_channels(self) -> dict[str, Any]:
        prefix = self._query.get("filter_by_prefix", "")
        asked = _asked(self._query.get("info", ""))
        if _USERS in asked and not names.is_presence(prefix):
            reason = "user_count is there for presence channels only: filter_by_prefix=presence-"
            raise ApiError(HTTPStatus.BAD_REQUEST, reason)
        found = self._application.occupied(prefix)
        return {"channels": {name: self._about(name, asked) for name in found}}

    def _channel(self, name: str, now: int) -> dict[str, Any]:
        self._check_name(name)
        asked = _asked(self._query.get("info", ""))
        if _USERS in asked and not names.is_presence(name):
            raise ApiError(HTTPStatus.BAD_REQUEST, "user_count is there for presence channels only")
        about = {"occupied": self._application.hears(name), **self._about(name, asked)}
        if _CACHE in asked and names.is_cache(name):
            about["cache"] = self._application.cached(name, now)
        return about

    def _users(self, name: str) -> dict[str, Any]:
        self._check_name(name)
        if not names.is_presence(name):
            raise ApiError(HTTPStatus.BAD_REQUEST, "Users are there for presence channels only")
        return {"users": [{"id": user} for user in self._application.users(name)]}

    def _about(self, name: str, asked: set[str]) -> dict[str, Any]:
        about: dict[str, Any] = {}
        if _USERS in asked and names.is_presence(name):
            about[_USERS] = len(self._application.users(name))
        if _SUBSCRIPTIONS in asked:
            about[_SUBSCRIPTIONS] = self._application.subscribers(name)
        return about

    def _check_name(self, name: str) -> None:
        if reason := names.why_no_channel(name):
            raise ApiError(HTTPStatus.BAD_REQUEST, _sentence(reason))


def _parameters(query: bytes) -> Mapping[str, str]:
    """Return what a query says, decoded; names in lower case, as they are signed."""
    pairs = query.decode("latin-1").split("&")
    if len(query) > _QUERY_BYTES or len(pairs) > _MOST_PARAMETERS:
        raise ApiError(HTTPStatus.BAD_REQUEST, "The query is too long")
    found: dict[str, str] = {}
    for pair in filter(None, pairs):
        name, _, value = pair.partition("=")
        found[unquote(name).lower()] = unquote(value)
    return found


def _route(path: str) -> tuple[str | None, str]:
    """Return the application's number, if there is one, and what is behind it."""
    if path.startswith("/users/"):
        return None, path.removeprefix("/")
    if route := _ROUTE.fullmatch(path):
        return route[1], route[2]
    raise ApiError(HTTPStatus.NOT_FOUND, "There is nothing at this address")


def _read(body: bytes, kind: type[Any]) -> Any:
    try:
        return msgspec.json.decode(body, type=kind)
    except (ValueError, RecursionError) as error:
        raise ApiError(HTTPStatus.BAD_REQUEST, f"The body can't be read: {error!s:.200}") from error


def _asked(info: str) -> set[str]:
    return {one.strip() for one in info.split(",") if one.strip()}


def _sentence(reason: str) -> str:
    return reason[:1].upper() + reason[1:]
