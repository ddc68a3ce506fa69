"""``motehub reports``."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner
from tests.unit.core.support import FakeClock, open_hub

from motehub import data_folder
from motehub.alerting.book import AlertBook
from motehub.alerting.letter_book import LetterBook, Schedule
from motehub.cli import app, opening
from motehub.cli import reports as command

ORDERED = 1_000


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return the folder of a hub that has run."""

    async def run() -> None:
        async with open_hub(tmp_path, FakeClock()):
            pass

    asyncio.run(run())
    return tmp_path


def call(folder: Path, *arguments: str) -> tuple[int, str]:
    """Call ``motehub reports``; return exit code and what it says."""
    done = CliRunner().invoke(app, ["reports", *arguments, "--data", str(folder)])
    return done.exit_code, f"{done.output}{done.exception or ''}"


def test_without_a_hub_a_report_is_sent_later(folder: Path) -> None:
    """It says so, and does not wait for it."""
    assert call(folder, "add", "R", "--schedule", "0 7 * * 1", "--to", "a@example.org")[0] == 0
    assert call(folder, "send", "R") == (0, "R is sent as soon as a hub runs.\n")


@pytest.mark.parametrize(
    ("kept", "code", "says"),
    [
        (Schedule("R", "", 0, ordered=ORDERED, ran=ORDERED, result="2 letters"), 0, "made, 2 let"),
        (
            Schedule("R", "", 0, ordered=ORDERED, ran=ORDERED, result="no mail server", ok=False),
            1,
            "R is not sent: no mail server.",
        ),
        (
            Schedule("R", "", 0, ran=ORDERED, result="The disk is full.", ok=False),
            0,
            "R waits and is tried again: The disk is full.",
        ),
        (Schedule("R", "", 0, ran=1, result="2 letters"), 0, "R is ordered:"),
    ],
)
def test_sending_tells_what_came_of_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kept: Schedule, code: int, says: str
) -> None:
    """What a running hub made of the report, or that this takes long."""
    LetterBook(AlertBook(folder)).put(kept)
    monkeypatch.setattr(opening, "tell_hub", lambda *_: {"ordered": ORDERED})
    if kept.ordered < ORDERED and kept.ok:
        monkeypatch.setattr(command, "_MADE_SECONDS", 0.0)
    with data_folder.locked(folder):
        found, text = call(folder, "send", "R")
    assert found == code
    assert says in text
