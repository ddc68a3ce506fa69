"""The files of the pages."""

from __future__ import annotations

import gzip
from hashlib import sha256
from pathlib import Path
from typing import Final

import motehub.web

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


def test_pages_are_light() -> None:
    """All scripts together have less than 60 kB compressed."""
    scripts = list(STATIC.rglob("*.js"))
    assert len(scripts) > 3
    assert sum(len(gzip.compress(one.read_bytes())) for one in scripts) < MOST_BYTES


def test_pages_have_no_inline_script_or_style() -> None:
    """The policy would refuse it."""
    for page in STATIC.glob("*.html"):
        text = page.read_text("utf-8")
        assert "style=" not in text, page.name
        assert "<style" not in text, page.name
        assert text.count("<script") == text.count('src="/static/'), page.name
