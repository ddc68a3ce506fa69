"""Who may hear which channel: the answers to clients' requests for a signature."""

from __future__ import annotations

import hmac
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from motehub.contracts import KnownTokens
from motehub.core.people import People
from motehub.http_exchange import JSON, Request, Response
from motehub.logs import Logger, OccasionalLogger
from motehub.model import Token
from motehub.protocols.pusher import names
from motehub.protocols.pusher.application import Application
from motehub.protocols.pusher.messages import COME_BACK, as_text
from motehub.protocols.pusher.requests import ANSWERS, REQUESTS
from motehub.protocols.pusher.signatures import channel_auth, user_auth
from motehub.web._api_access import PROOF_HEADER
from motehub.web._pusher_channels import may_hear, what_gives
from motehub.web.access import COOKIE, secret_of

PATHS: Final = ("/api/broadcasting/auth", "/broadcasting/auth")
"""Where clients ask: the second is what Laravel Echo has when nothing is said."""

_MOST_FIELDS: Final = 20
# A page of any site may ask: what counts is the token, which only its owner can give to a page.
_ANY_SITE: Final = (b"access-control-allow-origin", b"*")
_PREFLIGHT: Final = Response(
    204,
    (
        _ANY_SITE,
        (b"access-control-allow-methods", b"POST"),
        (b"access-control-allow-headers", b"authorization, content-type"),
        (b"access-control-max-age", b"600"),
    ),
)

_occasional = OccasionalLogger(Logger("motehub.pusher"))


class Visitors:
    """Who asks: the bearer of a token, or somebody who is logged in in a browser."""

    def __init__(self, tokens: KnownTokens, people: People) -> None:
        self._tokens = tokens
        self._people = people

    @property
    def edition(self) -> int:
        """Another number after each change of a token."""
        return self._tokens.edition

    def find(self, request: Request, now: int) -> Token | None:
        """Return the token of a request's sender, or that which stands for the user, if any.

        Browsers send cookies with requests of other sites' pages too; those don't know the proof.
        """
        if b"authorization" in request.headers:
            secret = secret_of(request.headers)
            return self._tokens.find(secret, now) if secret is not None else None
        browser = self._people.browser(_cookie(request.header(b"cookie")), now)
        proof = request.header(PROOF_HEADER.lower().encode())
        if browser is None or not hmac.compare_digest(proof, browser.proof.encode()):
            return None
        return self._people.token_of(browser)

    def has(self, token: Token) -> bool:
        """Tell whether the token still is what it was."""
        return self._tokens.has(token) or self._people.has(token)


class Grants:
    """Which token has let which connection into which channel."""

    def __init__(self, application: Application, visitors: Visitors) -> None:
        self._application = application
        self._visitors = visitors
        self._edition = visitors.edition
        self._given: dict[str, dict[str, Token]] = {}
        self._next_end: int | None = None

    def add(self, socket_id: str, channel: str, token: Token) -> None:
        """Remember that ``token`` gives a connection this channel."""
        if not self._application.has(socket_id):
            return
        given = self._given.setdefault(socket_id, {})
        if len(given) < self._application.limits.channels_per_connection or channel in given:
            given[channel] = token
            self._expect_end(token)

    def check(self, now: int) -> None:
        """Do so at ``now`` (µs) if a token has changed or expired: what is asked at each event."""
        expired = self._next_end is not None and now >= self._next_end
        if self._edition != self._visitors.edition or expired:
            self.check_all(now)

    def check_all(self, now: int) -> None:
        """End the connections that hear what their token, or role, does not give any more."""
        for socket_id in [one for one in self._given if not self._application.has(one)]:
            del self._given[socket_id]
        self._edition, self._next_end = self._visitors.edition, None
        for socket_id, given in list(self._given.items()):
            for token in given.values():
                self._expect_end(token)
            if not all(self._holds(token, name, now) for name, token in given.items()):
                del self._given[socket_id]
                reason = "the token that gave it a channel does not do so any more"
                # It comes back, and gets what it may have: a token may have been bound otherwise.
                self._application.disconnect_socket(socket_id, COME_BACK, reason)

    def _holds(self, token: Token, channel: str, now: int) -> bool:
        if token.expires is not None and now >= token.expires:
            return False
        return self._visitors.has(token) and (not channel or may_hear(token, channel))

    def _expect_end(self, token: Token) -> None:
        if token.expires is not None and (self._next_end is None or token.expires < self._next_end):
            self._next_end = token.expires


class Access:
    """Answers requests for a signature; ``clock`` returns UTC microseconds.

    ``expect_answers`` is told which connections are of base units that answer requests.
    """

    def __init__(
        self,
        application: Application,
        grants: Grants,
        visitors: Visitors,
        clock: Callable[[], int],
        expect_answers: Callable[[str], None],
    ) -> None:
        self._application = application
        self._expect_answers = expect_answers
        self._grants = grants
        self._visitors = visitors
        self._clock = clock

    def answer(self, request: Request) -> Response:
        """Return the signature for a channel, or that for signing in where none is named."""
        token = self._visitors.find(request, self._clock())
        if token is None:
            return _refused(
                f"There is no good token: send Authorization: Bearer TOKEN, or {PROOF_HEADER} from "
                "a browser that is logged in."
            )
        fields = _fields(request)
        socket_id = fields.get("socket_id", "")
        if not names.is_socket_id(socket_id):
            return _refused("socket_id is not that of a connection, such as 123.456.", 400)
        channel = fields.get("channel_name")
        if channel is None:
            return self._sign_in(token, socket_id)
        if names.why_no_channel(channel) or not may_hear(token, channel):
            _occasional.info("channel refused", token=token.name, channel=channel[:80])
            return _refused(
                f"The token {token.name!r} does not give this channel: that takes one with "
                f"{what_gives(channel)}."
            )
        self._grants.add(socket_id, channel, token)
        signed = self._signed(token, socket_id, channel)
        if channel == REQUESTS and ANSWERS in fields and self._application.has(socket_id):
            self._expect_answers(socket_id)
            signed[ANSWERS] = True
        return _json(200, signed)

    def _signed(self, token: Token, socket_id: str, channel: str) -> dict[str, Any]:
        keys = self._application.keys
        if not names.is_presence(channel):
            return {"auth": channel_auth(keys.key, keys.secret, socket_id, channel)}
        data = as_text({"user_id": token.name, "user_info": {"name": token.name}})
        auth = channel_auth(keys.key, keys.secret, socket_id, channel, data)
        return {"auth": auth, "channel_data": data}

    def _sign_in(self, token: Token, socket_id: str) -> Response:
        keys = self._application.keys
        data = as_text({"id": token.name, "user_info": {"name": token.name}})
        self._grants.add(socket_id, "", token)
        auth = user_auth(keys.key, keys.secret, socket_id, data)
        return _json(200, {"auth": auth, "user_data": data})


def preflight(_: Request) -> Response:
    """Return that browsers may ask from pages of other sites (Fetch standard, "CORS")."""
    return _PREFLIGHT


def _cookie(header: bytes) -> str:
    """Return the secret of a browser, in whatever other cookies there are (RFC 6265 § 4.2.1)."""
    for pair in header.split(b";"):
        name, _, value = pair.strip().partition(b"=")
        if name == COOKIE.encode():
            return value.decode("latin-1")
    return ""


def _fields(request: Request) -> Mapping[str, str]:
    """Return the fields of a form, or of a JSON object, in any order."""
    if b"json" in request.header(b"content-type").lower():
        try:
            found: dict[str, Any] = msgspec.json.decode(request.body, type=dict[str, Any])
        except (ValueError, RecursionError):
            return {}
        return {name: value for name, value in found.items() if isinstance(value, str)}
    try:
        form = parse_qs(request.body.decode("utf-8", "replace"), max_num_fields=_MOST_FIELDS)
    except ValueError:
        return {}
    return {name: values[0] for name, values in form.items()}


def _refused(reason: str, status: int = 403) -> Response:
    return _json(status, {"error": reason})


def _json(status: int, document: Mapping[str, Any]) -> Response:
    return Response(status, (JSON, _ANY_SITE), msgspec.json.encode(document))
