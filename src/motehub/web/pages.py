"""The pages: files that the package brings along, read once.

They hold no data and no secret. What they show, they ask of the API as whoever is logged in.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from importlib.resources import files
from typing import Final

from motehub.http_exchange import Request, Response, plain

_KINDS: Final = {
    "css": b"text/css; charset=utf-8",
    "html": b"text/html; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}
_PAGES: Final = {
    "/login": "login",
    "/setup": "setup",
    "/invitation": "invitation",
    "/device": "device",
    "/connect": "connect",
}
_INDEX: Final = "index.html"
_VENDOR: Final = "vendor/"
"""Folder of what others wrote: as they published it, with its licence and checksums."""

# Nothing but our own files, and nobody else's frame around them.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_ALWAYS: Final = (
    (b"cache-control", b"no-cache"),
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)

_WELCOME: Final = (
    "This is motehub. Readings are taken at POST /api/v1/readings; "
    "/api/openapi.json describes the API.\n"
)

Answer = Callable[[Request], Response]


def answers() -> dict[tuple[str, str], Answer]:
    """Return what answers for each page and each of its files, by method and path."""
    found: dict[str, Answer] = {}
    static = files("motehub.web").joinpath("static")
    for folder, part in ((static, ""), (static.joinpath(_VENDOR), _VENDOR)):
        for one in folder.iterdir():
            name, _, ending = one.name.rpartition(".")
            if ending not in _KINDS:
                continue
            answer = partial(_file, one.read_bytes(), _KINDS[ending])
            if one.name == _INDEX:
                found["/"] = partial(_index, answer)
            elif ending == "html":
                found |= {path: answer for path, page in _PAGES.items() if page == name}
            else:
                found[f"/static/{part}{one.name}"] = answer
    return {("GET", path): answer for path, answer in found.items()}


def _index(page: Answer, request: Request) -> Response:
    """Answer browsers with the page, and programs with a line of text."""
    if b"text/html" in request.header(b"accept"):
        return page(request)
    return plain(200, _WELCOME)


def _file(content: bytes, kind: bytes, request: Request) -> Response:
    mark = b'"%s"' % sha256(content).hexdigest()[:16].encode()
    headers = ((b"content-type", kind), (b"etag", mark), *_ALWAYS)
    if request.header(b"if-none-match") == mark:
        return Response(304, headers)
    return Response(200, headers, content)
