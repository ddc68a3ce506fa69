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
from motehub.languages import LANGUAGES, SELDOM
from motehub.web import bundle
from motehub.web.compression import takes_gzip
from motehub.web.languages import asked_for, preferred, rendered, script, seldom_said
from motehub.web.minified import minified

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
_EARLY: Final = "early/"
"""Folder of scripts that ask for what a page shows first, before its other scripts are there."""
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
_BUNDLED: Final = rf'<script type="module" src="/static/{bundle.FILE}" data-start="\1"></script>'
_STYLE: Final = re.compile(r'<link rel="stylesheet" href="/static/(?!styles/)([\w/.]+)">\n?')
# A page asks for one style sheet: browsers have six connections, and what is seventh waits.
_STYLED: Final = '<link rel="stylesheet" href="/static/styles/{}.css">\n'
# What others wrote as a script is fetched as a module: only then can a page go on without it.
_LIBRARY: Final = "uPlot"
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
    modules = {one.name: one.read_text("utf-8") for one in static.iterdir() if _is(one, "js")}
    contents = dict(_scripts(static))
    contents[bundle.FILE] = bundle.bundle(modules)
    words = asked_for(modules.values())
    for language in LANGUAGES:
        contents[f"languages/{language}.js"] = script(language, words)
        for about in SELDOM:
            contents[f"languages/{language}.{about}.js"] = seldom_said(language, about)
    parts = dict(_html(static.joinpath(_PARTS)))
    if not sends_mail:
        parts[_FORGOTTEN] = ""
    texts: dict[str, dict[str, str]] = {}
    for name, source in _html(static):
        text = _SCRIPT.sub(_BUNDLED, source)
        texts[name] = {one: rendered(text, one, parts) for one in LANGUAGES}
        sheets = _STYLE.findall(texts[name][LANGUAGES[0]])
        contents[f"styles/{name}.css"] = b"\n".join(
            static.joinpath(one).read_bytes() for one in sheets
        )
    edition = _edition(contents)
    found: dict[str, Answer] = {}
    for name, content in contents.items():
        kind = _KINDS[name.rpartition(".")[2]]
        found[f"/static/{name}"] = _file(content, kind, _FRESH)
        found[f"/static/{edition}/{name}"] = _file(content, kind, _FOREVER)
    paths = _PAGES | dict(_OF_MENU.findall(parts[_MENU]))
    for name, said in texts.items():
        forms = {
            one: _file(_of(edition, _styled(name, text)), _HTML, _FRESH)
            for one, text in said.items()
        }
        page = partial(_page, forms, chosen)
        found |= {path: page for path, own in paths.items() if own == name}
        if name == _INDEX:
            found["/"] = partial(_index, page)
    return {("GET", path): answer for path, answer in found.items()}


def _scripts(static: Traversable) -> Iterator[tuple[str, bytes]]:
    """Read the scripts that stand for themselves."""
    library = static.joinpath(f"{_VENDOR}{_LIBRARY}.iife.min.js").read_bytes()
    yield f"{_VENDOR}{_LIBRARY}.js", b"%bexport default %b;\n" % (library, _LIBRARY.encode())
    for one in static.joinpath(_EARLY).iterdir():
        yield f"{_EARLY}{one.name}", minified(one.read_text("utf-8")).encode()


def _is(file: Traversable, kind: str) -> bool:
    return file.name.endswith(f".{kind}")


def _edition(contents: Mapping[str, bytes]) -> str:
    """Return a mark of all files: what has it in its address never changes there."""
    mark = sha256()
    for name in sorted(contents):
        mark.update(b"%b %d " % (name.encode(), len(contents[name])) + contents[name])
    return mark.hexdigest()[:12]


def _styled(name: str, page: str) -> str:
    """Return a page that asks for the one file which has all its style sheets."""
    return _STYLE.sub("", _STYLE.sub(_STYLED.format(name), page, count=1))


def _of(edition: str, page: str) -> bytes:
    return page.replace('"/static/', f'"/static/{edition}/').encode()


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
        body, own, headers = short if takes_gzip(request.header(b"accept-encoding")) else whole
        if request.header(b"if-none-match") == own:
            return Response(304, ((b"etag", own), *fixed))
        return Response(200, ((b"etag", own), *headers), body)

    return answer
