"""The files of the pages."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub.http_exchange import Request, Response
from motehub.web import pages

STATIC: Final = Path(motehub.web.__file__).parent / "static"
MOST_BYTES: Final = 60_000
_IMPORT: Final = re.compile(
    r'(?:from |import |src=|href=|import\()["`](?:/static/\w{12}/|\./)([\w/.]+\.js)["`]'
)
_LATER: Final = re.compile(r'import\("\./([\w.]+)"\)')


def test_what_others_wrote_is_as_they_published_it() -> None:
    """Each file in vendor/ has the checksum that is written down, and there is no other."""
    folder = STATIC / "vendor"
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {one.name for one in folder.iterdir()} - {"SHA256SUMS"}
    assert there == set(sums)
    for name, known in sums.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == known, name
    assert "MIT" in (folder / "uPlot.LICENCE").read_text()


def fetched(path: str, accept: bytes = b"gzip, deflate, br") -> Response:
    """What a browser gets for a path."""
    headers = {b"accept-encoding": accept, b"accept": b"text/html", b"accept-language": b"fr"}
    return pages.answers()["GET", path](Request("GET", path, b"", headers, b"", ""))


def test_pages_are_light() -> None:
    """The scripts of a page and the words of a language have less than 60 kB as they are sent."""
    answers = pages.answers()
    sizes = {
        path.removeprefix("/static/"): len(fetched(path).body)
        for _, path in answers
        if path.endswith(".js")
    }
    assert len(sizes) > 10
    for _, path in answers:
        if not path.startswith("/static/"):
            page = gzip.decompress(fetched(path).body).decode()
            named = set(_IMPORT.findall(page))
            needed = scripts_of(page, set())
            assert needed >= {"languages/fr.js"}, path
            # A script that is found only when another one has come costs a journey.
            assert named | later_of(needed) == needed, path
            assert sum(sizes[name] for name in needed) < MOST_BYTES, path


def scripts_of(text: str, known: set[str]) -> set[str]:
    """The scripts that a page or script needs, and those that they need."""
    for name in set(_IMPORT.findall(text)) - known:
        known.add(name)
        file = STATIC / name
        if file.exists():
            scripts_of(file.read_text("utf-8"), known)
    return known


def test_files_are_kept_under_an_address_that_tells_their_edition() -> None:
    """A browser asks again for pages only; under the address without edition it asks each time."""
    page = gzip.decompress(fetched("/history").body).decode()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) > 8
    for address in addresses:
        answer = fetched(address)
        assert answer.status == 200
        assert b"immutable" in dict(answer.headers)[b"cache-control"], address
        edition = address.split("/")[2]
        known = fetched(address.replace(f"{edition}/", ""))
        assert known.body == answer.body
        assert dict(known.headers)[b"cache-control"] == b"no-cache"
    assert dict(fetched("/history").headers)[b"cache-control"] == b"no-cache"


def test_menus_lead_to_pages() -> None:
    """Each link of the header and of the settings' menu, which is the list of its pages."""
    answers = pages.answers()
    for part in ("header", "settings"):
        text = (STATIC / "parts" / f"{part}.html").read_text("utf-8")
        links = re.findall(r'href="([^"]+)"', text)
        assert len(links) >= 5
        for link in links:
            assert fetched(link).status == 200, link
    assert len([path for _, path in answers if path.startswith("/settings")]) == len(links)


def later_of(names: set[str]) -> set[str]:
    """The scripts that these scripts load when they are needed, and what only those need."""
    texts = [(STATIC / name).read_text("utf-8") for name in names if (STATIC / name).exists()]
    later = {one for text in texts for one in _LATER.findall(text)}
    return later.union(*(scripts_of((STATIC / one).read_text("utf-8"), set()) for one in later))


@pytest.mark.parametrize(
    ("accept", "encoded"),
    [
        (b"", False),
        (b"gzip", True),
        (b"br, GZIP;q=0.5", True),
        (b"gzip;q=0", False),
        (b"gzip;q=0.0, br", False),
        (b"x-gzip", False),
    ],
)
def test_files_are_sent_compressed_to_who_takes_that(accept: bytes, encoded: bool) -> None:
    """Both forms are the same, and have marks of their own, by which they are not sent again."""
    path = "/static/hub.js"
    answer = fetched(path, accept)
    headers = dict(answer.headers)
    assert (headers.get(b"content-encoding") == b"gzip") is encoded
    assert headers[b"vary"] == b"accept-encoding"
    body = gzip.decompress(answer.body) if encoded else answer.body
    assert body == fetched(path, b"").body
    again = {b"accept-encoding": accept, b"if-none-match": headers[b"etag"]}
    answer = pages.answers()["GET", path](Request("GET", path, b"", again, b"", ""))
    assert (answer.status, answer.body) == (304, b"")


def test_scripts_lose_nothing_but_comments() -> None:
    """Lines stay where they are, and no text that goes over lines could lose its indentation."""
    given = b"// One.\nif (a) {\n  // Two.\n  b('//');\n\n}\n"
    assert pages.lean(given) == b"\nif (a) {\n\nb('//');\n\n}\n"
    for file in STATIC.glob("*.js"):
        for line in file.read_text("utf-8").splitlines():
            if not line.lstrip().startswith("//"):
                assert line.count("`") % 2 == 0, f"{file.name}: {line}"
                assert "/*" not in line.replace("/* global uPlot */", ""), f"{file.name}: {line}"


def test_pages_have_no_inline_script_or_style() -> None:
    """The policy would refuse it."""
    for page in STATIC.glob("*.html"):
        text = page.read_text("utf-8")
        assert "style=" not in text, page.name
        assert "<style" not in text, page.name
        assert text.count("<script") == text.count('src="/static/'), page.name
