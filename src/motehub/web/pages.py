"""The pages: files that the package brings along, read once, in each language.

They hold no data and no secret. What they show, they ask of the API as whoever is logged in.
"""

from __future__ import annotations

import gzip
import re
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from hashlib import sha256
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Final

from motehub.http_exchange import Request, Response, plain
from motehub.languages import LANGUAGES
from motehub.web.languages import preferred, rendered, script

_KINDS: Final = {
    "css": b"text/css; charset=utf-8",
    "js": b"text/javascript; charset=utf-8",
}
_HTML: Final = b"text/html; charset=utf-8"
_PAGES: Final = {
    "/login": "login",
    "/setup": "setup",
    "/invitation": "invitation",
    "/forgotten": "forgotten",
    "/reset": "reset",
    "/device": "device",
    "/connect": "connect",
    "/history": "history",
    "/status": "status",
    "/alerts": "alerts",
    "/reports": "reports",
    "/unsubscribe": "unsubscribe",
}
# The menu of the settings in parts/ is the list of its pages: /settings/log is log.html.
_MENU: Final = "settings"
_OF_MENU: Final = re.compile(r'<a href="(/(?:\w+/)?(\w+))"')
# A part of the page to log in.
_FORGOTTEN: Final = "forgotten"
_INDEX: Final = "index"
_VENDOR: Final = "vendor/"
"""Folder of what others wrote: as they published it, with its licence and checksums."""
_PARTS: Final = "parts"
"""Folder of what several pages have in common."""

# Nothing but our own files, and nobody else's frame around them.
_POLICY: Final = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_FRESH: Final = (b"cache-control", b"no-cache")
_FOREVER: Final = (b"cache-control", b"public, max-age=31536000, immutable")
_ALWAYS: Final = (
    (b"content-security-policy", _POLICY),
    (b"referrer-policy", b"no-referrer"),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_VARIES: Final = (b"vary", b"accept-language, cookie")

_SCRIPT: Final = re.compile(r'<script type="module" src="/static/([\w.]+)"></script>')
_IMPORTED: Final = re.compile(rb'(?:from|import) "\./([\w.]+)";')
# Whole lines only: what stands behind code may be part of a text.
_UNNEEDED: Final = re.compile(rb"^[ \t]+(?://.*)?|^//.*", re.MULTILINE)
_GZIP: Final = re.compile(
    rb"(?<![\w-])gzip\s*(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))(?:;|,|$)", re.IGNORECASE
)

_WELCOME: Final = (
    "This is motehub. Readings are taken at POST /api/v1/readings; "
    "/api/openapi.json describes the API.\n"
)

Answer = Callable[[Request], Response]
Choice = Callable[[Request], str | None]
"""Returns the language that whoever asks has chosen, if so."""


def answers(
    chosen: Choice = lambda _: None, *, sends_mail: bool = True
) -> dict[tuple[str, str], Answer]:
    """Return what answers for each page and each of its files, by method and path.

    A hub that ``sends_mail`` offers a link to whoever has forgotten a password.
    """
    static = files("motehub.web").joinpath("static")
    contents = dict(_files(static))
    for language in LANGUAGES:
        contents[f"languages/{language}.js"] = script(language)
    edition = _edition(contents)
    found: dict[str, Answer] = {}
    for name, content in contents.items():
        kind = _KINDS[name.rpartition(".")[2]]
        found[f"/static/{name}"] = _file(content, kind, _FRESH)
        found[f"/static/{edition}/{name}"] = _file(content, kind, _FOREVER)
    parts = dict(_html(static.joinpath(_PARTS)))
    if not sends_mail:
        parts[_FORGOTTEN] = ""
    paths = _PAGES | dict(_OF_MENU.findall(parts[_MENU]))
    for name, source in _html(static):
        text = _loading_at_once(source, contents)
        forms = {
            one: _file(_of(edition, rendered(text, one, parts)), _HTML, _FRESH) for one in LANGUAGES
        }
        page = partial(_page, forms, chosen)
        found |= {path: page for path, own in paths.items() if own == name}
        if name == _INDEX:
            found["/"] = partial(_index, page)
    return {("GET", path): answer for path, answer in found.items()}


def _files(static: Traversable) -> Iterator[tuple[str, bytes]]:
    for folder, part in ((static, ""), (static.joinpath(_VENDOR), _VENDOR)):
        for one in folder.iterdir():
            if one.name.rpartition(".")[2] in _KINDS:
                content = one.read_bytes()
                own = one.name.endswith(".js") and not part
                yield f"{part}{one.name}", lean(content) if own else content


def _edition(contents: Mapping[str, bytes]) -> str:
    """Return a mark of all files: what has it in its address never changes there."""
    mark = sha256()
    for name in sorted(contents):
        mark.update(b"%b %d " % (name.encode(), len(contents[name])) + contents[name])
    return mark.hexdigest()[:12]


def _of(edition: str, page: str) -> bytes:
    return page.replace('"/static/', f'"/static/{edition}/').encode()


def _loading_at_once(page: str, contents: Mapping[str, bytes]) -> str:
    """Return a page that names all modules of its script: none waits for who imports it."""
    needed: dict[str, None] = {}

    def add(name: str) -> None:
        for one in _IMPORTED.findall(contents[name]):
            if (imported := one.decode()) not in needed:
                needed[imported] = None
                add(imported)

    for name in _SCRIPT.findall(page):
        add(name)
    links = [f'<link rel="modulepreload" href="/static/{name}">\n' for name in needed]
    return _SCRIPT.sub(lambda found: "".join(links) + found[0], page)


def _html(folder: Traversable) -> Iterator[tuple[str, str]]:
    for one in folder.iterdir():
        if one.name.endswith(".html"):
            yield one.name.removesuffix(".html"), one.read_text("utf-8")


def _index(page: Answer, request: Request) -> Response:
    """Answer browsers with the page, and programs with a line of text."""
    if b"text/html" in request.header(b"accept"):
        return page(request)
    return plain(200, _WELCOME)


def _page(forms: Mapping[str, Answer], chosen: Choice, request: Request) -> Response:
    """Answer in the language that the reader has chosen, or else prefers."""
    preference = preferred(request.header(b"accept-language"))
    answer = forms.get(chosen(request) or preference, forms[preference])(request)
    return Response(answer.status, (*answer.headers, _VARIES), answer.body)


def lean(script: bytes) -> bytes:
    """Return a script without indentation and comments, each line of it where it was."""
    return _UNNEEDED.sub(b"", script)


def _file(content: bytes, kind: bytes, keeping: tuple[bytes, bytes]) -> Answer:
    mark = sha256(content).hexdigest()[:16].encode()
    fixed = ((b"content-type", kind), (b"vary", b"accept-encoding"), keeping, *_ALWAYS)
    whole = (content, b'"%s"' % mark, fixed)
    short = (
        gzip.compress(content, mtime=0),
        b'"%s-gzip"' % mark,
        (*fixed, (b"content-encoding", b"gzip")),
    )

    def answer(request: Request) -> Response:
        body, own, headers = short if _takes_gzip(request) else whole
        if request.header(b"if-none-match") == own:
            return Response(304, ((b"etag", own), *fixed))
        return Response(200, ((b"etag", own), *headers), body)

    return answer


def _takes_gzip(request: Request) -> bool:
    return _GZIP.search(request.header(b"accept-encoding")) is not None
