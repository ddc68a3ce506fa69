"""The files of the pages."""

from __future__ import annotations

import gzip
import re
from hashlib import sha256
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub.web.languages import LANGUAGES, script

STATIC: Final = Path(motehub.web.__file__).parent / "static"
MOST_BYTES: Final = 60_000


def test_what_others_wrote_is_as_they_published_it() -> None:
    """Each file in vendor/ has the checksum that is written down, and there is no other."""
    folder = STATIC / "vendor"
    sums = dict(line.split()[::-1] for line in (folder / "SHA256SUMS").read_text().splitlines())
    there = {one.name for one in folder.iterdir()} - {"SHA256SUMS"}
    assert there == set(sums)
    for name, known in sums.items():
        assert sha256((folder / name).read_bytes()).hexdigest() == known, name
    assert "MIT" in (folder / "uPlot.LICENCE").read_text()


def scripts_of(page: str) -> set[Path]:
    """The scripts of a page, and what they import."""
    found: set[Path] = set()
    waiting = [STATIC / one for one in re.findall(r'src="/static/([^"]+)"', page)]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found.add(one)
            names = re.findall(r'(?:from|import) "\./([^"]+)"', one.read_text("utf-8"))
            waiting += [STATIC / name for name in names]
    return found


@pytest.mark.parametrize("page", sorted(STATIC.glob("*.html")), ids=lambda page: page.name)
def test_pages_are_light(page: Path) -> None:
    """All scripts of a page, with the words of a language, have less than 60 kB compressed."""
    scripts = scripts_of(page.read_text("utf-8"))
    assert scripts
    sizes = [len(gzip.compress(one.read_bytes())) for one in scripts]
    sizes.append(max(len(gzip.compress(script(one))) for one in LANGUAGES))
    assert sum(sizes) < MOST_BYTES


def test_pages_have_no_inline_script_or_style() -> None:
    """The policy would refuse it."""
    for page in STATIC.glob("*.html"):
        text = page.read_text("utf-8")
        assert "style=" not in text, page.name
        assert "<style" not in text, page.name
        assert text.count("<script") == text.count('src="/static/'), page.name
