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
_NAMED: Final = re.compile(r'(?:src|href)="/static/\w{12}/([\w/.]+\.js)"')


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


def sizes() -> dict[str, int]:
    """The bytes of each script as it is sent, words too, by its path in ``static/``."""
    paths = [path for _, path in pages.answers() if path.endswith(".js")]
    return {
        path.removeprefix("/static/"): len(fetched(path).body)
        for path in paths
        if not re.match(r"/static/\w{12}/", path)
    }


def test_scripts_are_light() -> None:
    """All scripts together have less than 60 kB as they are sent; words are no scripts."""
    scripts = {name: size for name, size in sizes().items() if not name.startswith("languages/")}
    assert set(scripts) == {"scripts.js", "early/first.js", "vendor/uPlot.js"}
    assert sum(scripts.values()) < MOST_BYTES, scripts


def test_pages_name_all_that_they_load_at_once() -> None:
    """A script that is found only when another one has come costs a journey."""
    for _, path in pages.answers():
        if not path.startswith("/static/"):
            page = gzip.decompress(fetched(path).body).decode()
            named = set(_NAMED.findall(page))
            own = {"vendor/uPlot.js"} if path == "/device" else set()
            assert named == {"early/first.js", "languages/fr.js", "scripts.js"} | own, path


def test_a_page_asks_for_no_more_than_a_browser_asks_at_a_time() -> None:
    """A browser has six connections to a hub, and what is seventh waits until one is free again."""
    for _, path in pages.answers():
        if not path.startswith("/static/"):
            page = gzip.decompress(fetched(path).body).decode()
            assert len(set(re.findall(r'(?:src|href)="(/(?:static|api)/[^"]+)"', page))) <= 6, path


def test_a_page_has_the_style_sheets_that_it_names_as_one() -> None:
    """Each page asks for one file with all of them, in their order."""
    page = gzip.decompress(fetched("/device").body).decode()
    (path,) = re.findall(r'<link rel="stylesheet" href="([^"]+)">', page)
    names = ["style.css", "vendor/uPlot.min.css", "device.css"]
    whole = b"\n".join((STATIC / one).read_bytes() for one in names)
    assert gzip.decompress(fetched(path).body) == whole


def test_the_early_script_asks_for_what_the_page_asks_for() -> None:
    """An address that differs would be asked for twice."""
    early = (STATIC / "early" / "first.js").read_text("utf-8")
    page = (STATIC / "device.js").read_text("utf-8")
    assert "from=-86400s&points=600&states=true" in early
    assert "const POINTS = 600;" in page
    assert "const time = span.live ? `from=-${span.length}s` : whole;" in page
    assert "&${time}&points=${POINTS}&states=true`" in page


def test_nothing_can_be_pressed_before_it_is_heard() -> None:
    """Scripts say when buttons and choices do something; what is typed into a form stays there."""
    for _, path in pages.answers():
        if not path.startswith("/static/"):
            page = gzip.decompress(fetched(path).body).decode()
            outside = re.sub(r"<form.*?</form>", "", page, flags=re.DOTALL)
            found = re.findall(r"<(?:button|select)\b[^>]*>", page)
            found += re.findall(r"<input\b[^>]*>", outside)
            hidden = "<form hidden>" in page
            assert hidden or [one for one in found if " disabled" not in one] == [], path


def test_files_are_kept_under_an_address_that_tells_their_edition() -> None:
    """A browser asks again for pages only; under the address without edition it asks each time."""
    page = gzip.decompress(fetched("/device").body).decode()
    addresses = re.findall(r'(?:src|href)="(/static/[^"]+)"', page)
    assert len(addresses) > 5
    for address in addresses:
        answer = fetched(address)
        assert answer.status == 200
        assert b"immutable" in dict(answer.headers)[b"cache-control"], address
        edition = address.split("/")[2]
        known = fetched(address.replace(f"{edition}/", ""))
        assert known.body == answer.body
        assert dict(known.headers)[b"cache-control"] == b"no-cache"
    assert dict(fetched("/device").headers)[b"cache-control"] == b"no-cache"


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
    path = "/static/scripts.js"
    answer = fetched(path, accept)
    headers = dict(answer.headers)
    assert (headers.get(b"content-encoding") == b"gzip") is encoded
    assert headers[b"vary"] == b"accept-encoding"
    body = gzip.decompress(answer.body) if encoded else answer.body
    assert body == fetched(path, b"").body
    again = {b"accept-encoding": accept, b"if-none-match": headers[b"etag"]}
    answer = pages.answers()["GET", path](Request("GET", path, b"", again, b"", ""))
    assert (answer.status, answer.body) == (304, b"")


def test_pages_have_no_inline_script_or_style() -> None:
    """The policy would refuse it."""
    for page in STATIC.glob("*.html"):
        text = page.read_text("utf-8")
        assert "style=" not in text, page.name
        assert "<style" not in text, page.name
        assert text.count("<script") == text.count('src="/static/'), page.name
