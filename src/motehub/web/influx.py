"""``POST /write`` as InfluxDB takes it, 1 and 2, and what its clients ask beside that.

What is written means the same as in ``docs/protocols/line-protocol.md``. The forms of errors are
those of InfluxDB's HTTP API: clients and Telegraf decide by them whether to send again.
"""

from __future__ import annotations

import re
from functools import lru_cache, partial
from typing import Final
from urllib.parse import parse_qs

import msgspec

from motehub.contracts import KnownTokens
from motehub.core.registry import Registry
from motehub.http_exchange import (
    JSON,
    RETRY_SECONDS,
    Exchange,
    Header,
    Request,
    Response,
    Take,
    take_whole,
)
from motehub.model import Scope, Token
from motehub.protocols.line_protocol import decode_known, decode_points, multiplier, read_key
from motehub.web.access import Pass, secret_of, secret_of_query
from motehub.web.bodies import BodyError, unpack
from motehub.web.filing import Filing, NameOf, Outcome
from motehub.web.known import KnownSeries, exchange

PATHS: Final = ("/write", "/api/v1/write", "/api/v2/write")
PATH_OF_VERSION_2: Final = "/api/v2/write"
DIALECT: Final = "line_protocol"

_VERSION: Final = (b"x-influxdb-version", b"1.8.10")
"""What ``/ping`` says: a version whose ``/write`` works like this one."""

_WRITTEN: Final = Response(204, (_VERSION,))
_BUILD: Final = (b"x-influxdb-build", b"OSS")
_CODES: Final = {
    400: "invalid",
    401: "unauthorized",
    403: "forbidden",
    413: "request too large",
    415: "invalid",
    503: "unavailable",
}


class WriteHandler:
    """Takes points of senders with a token; ``body_limit`` is in bytes, unpacked."""

    def __init__(
        self, tokens: KnownTokens, registry: Registry, name_of: NameOf, body_limit: int
    ) -> None:
        self._tokens = tokens
        self._name_of = name_of
        self._series = KnownSeries(registry, read_key, name_of)
        self.body_limit = body_limit

    def check(self, request: Request, now: int) -> Response | None:
        """Return why nothing is taken from the sender, or None."""
        token = self._token(request, now)
        return token if isinstance(token, Response) else None

    def prepare(self, request: Request, now: int) -> Take | Response:
        """Return what takes the bodies behind this head; see ``http_exchange.Handler``."""
        token = self._token(request, now)
        if isinstance(token, Response):
            return token
        precision, database = _parameters(request.query)
        if multiplier(precision) is None:
            known = "ns, us, ms, s, m or h"
            return refuse(request, 400, f'invalid precision "{precision[:20]}": use {known}')
        # Whose points without a tag "device" or "host" are.
        default = token.devices[0] if len(token.devices) == 1 else database
        encoding = request.header(b"content-encoding")
        permit = Pass(self._tokens, token)
        respond = partial(_respond, request)

        def take(body: bytes, now: int) -> Exchange | Response | None:
            if not permit.is_good(now):
                return None
            try:
                body = unpack(body, encoding, self.body_limit)
            except BodyError as error:
                return refuse(request, error.status, str(error))
            table = self._series.table(token, default)
            runs = decode_known(body, now, table, precision=precision)

            def file(sender: Token) -> Filing:
                decoded = decode_points(body, now, precision=precision)
                return Filing(decoded, sender, default, DIALECT, request.peer, self._name_of)

            return exchange(runs, table, file, respond)

        return take

    def __call__(self, request: Request, now: int) -> Exchange | Response:
        """Take a whole request; see :data:`motehub.http_exchange.Handler`."""
        return take_whole(self, request, now)

    def _token(self, request: Request, now: int) -> Token | Response:
        secret = secret_of(request.headers) or secret_of_query(request.query)
        token = self._tokens.find(secret, now) if secret else None
        if token is None:
            missing = "unable to parse authentication credentials"
            return refuse(request, 401, "authorization failed" if secret else missing)
        if not token.allows(Scope.WRITE):
            return refuse(request, 403, f"token {token.name} is not authorized to write")
        return token


@lru_cache(256)
def _parameters(query: bytes) -> tuple[str, str | None]:
    """Return the precision, and the bucket or database if one is named."""
    found = parse_qs(query.decode("latin-1"))
    names = found.get("bucket") or found.get("db") or [""]
    return found.get("precision", ["ns"])[0], names[0] or None


def _respond(request: Request, outcome: Outcome) -> Response:
    if not outcome.rejected:
        return _WRITTEN
    first = outcome.errors[0] if outcome.errors else None
    reason = f"line {first.line}: {first.reason}" if first else "bad lines"
    if not outcome.stored:
        status = 403 if outcome.forbidden else 400
        return refuse(request, status, f"unable to parse: {reason} dropped={outcome.rejected}")
    return refuse(request, 400, f"partial write: {reason} dropped={outcome.rejected}")


def refuse(request: Request, status: int, reason: str) -> Response:
    """Return an error in the form of InfluxDB 2 on its path, in that of InfluxDB 1 elsewhere."""
    headers: list[Header] = [JSON, _VERSION]
    if status == 401:
        headers.append((b"www-authenticate", b'Basic realm="motehub"'))
    if status == 503:
        headers.append((b"retry-after", str(RETRY_SECONDS).encode()))
    if request.path == PATH_OF_VERSION_2:
        document = {"code": _CODES[status], "message": reason}
    else:
        document = {"error": reason}
        headers.append((b"x-influxdb-error", _header_text(reason)))
    return Response(status, tuple(headers), msgspec.json.encode(document))


def ping(_: Request) -> Response:
    """``GET /ping``: clients of version 1 look for the server and its version."""
    return Response(204, (_VERSION, _BUILD))


def health(_: Request) -> Response:
    """``GET /health``: clients of version 2 look for ``"status": "pass"``."""
    document = {"name": "influxdb", "message": "ready for queries and writes", "status": "pass"}
    return Response(200, (JSON, _VERSION), msgspec.json.encode(document | {"checks": []}))


def query(request: Request) -> Response:
    """``/query``: creating a database succeeds, since none is needed; all else is refused."""
    text = " ".join(
        parse_qs((request.query + b"&" + request.body).decode("latin-1")).get("q", [""])
    )
    if text.strip().upper().startswith("CREATE DATABASE"):
        return Response(200, (JSON, _VERSION), b'{"results":[{"statement_id":0}]}\n')
    reason = "queries are not answered here: read with GET /api/v1/readings"
    return refuse(request, 400, reason)


def _header_text(reason: str) -> bytes:
    """Return ``reason`` as a header may hold it: printable ASCII."""
    return re.sub(rb"[^ -~]", b"?", reason[:500].encode("ascii", "replace"))
