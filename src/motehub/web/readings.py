"""``POST /api/v1/readings``: the hub's own way to send readings; ``docs/api.md``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

from motehub.contracts import KnownTokens
from motehub.core.registry import Registry
from motehub.http_exchange import (
    JSON,
    PROBLEM,
    Exchange,
    Request,
    Response,
    Take,
    problem,
    take_whole,
)
from motehub.model import Scope, Token
from motehub.points import BadLine
from motehub.protocols.readings_json import decode_known, decode_readings, read_key
from motehub.web.access import Pass, secret_of
from motehub.web.bodies import BodyError, unpack
from motehub.web.filing import Filing, NameOf, Outcome
from motehub.web.known import KnownSeries, exchange

PATH: Final = "/api/v1/readings"
DIALECT: Final = "http"
NDJSON: Final = frozenset({b"application/x-ndjson", b"application/ndjson", b"application/jsonl"})

_CHALLENGE: Final = (b"www-authenticate", b"Bearer")


class ReadingsHandler:
    """Decodes bodies of readings for senders with a token.

    ``body_limit`` is the longest body in bytes, unpacked.
    """

    def __init__(
        self, tokens: KnownTokens, registry: Registry, name_of: NameOf, body_limit: int
    ) -> None:
        self._tokens = tokens
        self._name_of = name_of
        self._series = KnownSeries(registry, read_key, name_of)
        self.body_limit = body_limit

    def check(self, request: Request, now: int) -> Response | None:
        """Return why nothing is taken from the sender, or None."""
        token = self.token(request, now)
        return token if isinstance(token, Response) else None

    def prepare(self, request: Request, now: int) -> Take | Response:
        """Return what takes the bodies behind this head; see ``http_exchange.Handler``."""
        token = self.token(request, now)
        if isinstance(token, Response):
            return token
        default = default_device(token)
        encoding = request.header(b"content-encoding")
        lines = is_ndjson(request)
        permit = Pass(self._tokens, token)

        def take(body: bytes, now: int) -> Exchange | Response | None:
            if not permit.is_good(now):
                return None
            try:
                body = unpack(body, encoding, self.body_limit)
            except BodyError as error:
                return problem(error.status, "The body can't be read", str(error))
            table = self._series.table(token, default)
            runs = decode_known(body, now, table, lines=lines)

            def file(sender: Token) -> Filing:
                return self.file(body, sender, default, request, now)

            return exchange(runs, table, file, respond)

        return take

    def __call__(self, request: Request, now: int) -> Exchange | Response:
        """Take a whole request; see :data:`motehub.http_exchange.Handler`."""
        return take_whole(self, request, now)

    def token(self, request: Request, now: int) -> Token | Response:
        """Return the sender's token, or why nothing is taken from it."""
        secret = secret_of(request.headers)
        token = self._tokens.find(secret, now) if secret else None
        if token is None:
            detail = (
                "This token is not known, or is no longer good."
                if secret
                else "Send a token: Authorization: Bearer TOKEN. 'motehub token create' makes one."
            )
            return problem(401, "Not authorised", detail, _CHALLENGE)
        if not token.allows(Scope.WRITE):
            return problem(403, "Not allowed", f"The token {token.name} has no scope write.")
        return token

    def file(
        self,
        body: bytes,
        token: Token,
        default: str | None,
        request: Request,
        now: int,
        first_line: int = 1,
        bad: Sequence[BadLine] = (),
    ) -> Filing:
        """Return the deliveries of an unpacked body, or of some lines of it.

        What names no device is ``default``'s; ``bad`` are lines that could not even be read.
        """
        lines = is_ndjson(request)
        decoded = decode_readings(body, now, lines=lines, first_line=first_line)
        if bad:
            decoded = msgspec.structs.replace(decoded, bad=[*bad, *decoded.bad])
        return Filing(decoded, token, default, DIALECT, request.peer, self._name_of)


def default_device(token: Token) -> str | None:
    """Return whose readings are those that name no device."""
    return token.devices[0] if len(token.devices) == 1 else None


def is_ndjson(request: Request) -> bool:
    """Tell whether the body is a reading a line."""
    return request.header(b"content-type").partition(b";")[0].strip().lower() in NDJSON


def respond(outcome: Outcome) -> Response:
    """Return 200 when all is stored, 207 when some is, and a problem when nothing is."""
    document: dict[str, object] = {
        "stored": outcome.stored,
        "rejected": outcome.rejected,
        "errors": outcome.errors,
    }
    if not outcome.rejected:
        return Response(200, (JSON,), b'{"stored":%d,"rejected":0,"errors":[]}' % outcome.stored)
    if outcome.stored:
        return Response(207, (JSON,), msgspec.json.encode(document))
    status, title = (403, "Not allowed") if outcome.forbidden else (400, "Nothing was stored")
    first = outcome.errors[0] if outcome.errors else None
    detail = f"Line {first.line}: {first.reason}." if first else "Every line is bad."
    head = {"type": "about:blank", "title": title, "status": status, "detail": detail}
    return Response(status, (PROBLEM,), msgspec.json.encode(head | document))
