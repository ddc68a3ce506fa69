"""What an import notes, so that it can go on after an interruption."""

from __future__ import annotations

from pathlib import Path

from motehub.importing import Notes
from motehub.transfer.pieces import Place

PLACE = Place(5, "digest")


def test_an_interrupted_import_is_known_again(tmp_path: Path) -> None:
    """With the moment at which it first began, and how far it came; another one is another."""
    notes = Notes(tmp_path, ("x.db", "a"))
    assert (notes.resumed, notes.after) == (False, None)
    notes.note(PLACE)
    again = Notes(tmp_path, ("x.db", "a"))
    assert (again.resumed, again.after, again.moment) == (True, PLACE, notes.moment)
    assert not Notes(tmp_path, ("x.db", "b")).resumed
    again.begin_again()
    again.note(again.after)
    third = Notes(tmp_path, ("x.db", "a"))
    assert (third.after, third.moment) == (None, notes.moment)


def test_a_complete_import_leaves_nothing(tmp_path: Path) -> None:
    """The next one of the same source has a moment of its own."""
    notes = Notes(tmp_path, ("redis://h",))
    notes.note(None)
    (file,) = tmp_path.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    notes.remove()
    assert list(tmp_path.iterdir()) == []
    assert Notes(tmp_path, ("redis://h",)).moment > notes.moment


def test_damaged_notes_begin_the_import_again(tmp_path: Path) -> None:
    """What was stored then is there already."""
    notes = Notes(tmp_path, ("x.db",))
    notes.note(PLACE)
    (file,) = tmp_path.iterdir()
    file.write_bytes(file.read_bytes()[:10])
    again = Notes(tmp_path, ("x.db",))
    assert (again.resumed, again.after) == (False, None)
