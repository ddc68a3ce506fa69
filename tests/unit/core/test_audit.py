"""The list of what people did, in the journal."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.core.support import FakeClock, open_hub

from motehub.core import audit
from motehub.core.audit import MOST_DEEDS, Audit, Deed, DeedRow, Way
from motehub.core.people import Role
from motehub.errors import UnknownToken
from motehub.frames import Batch
from motehub.journals.sqlite import SqliteLogReader


def a_deed(subject: str = "pierre") -> Deed:
    return Deed("marie", Way.PAGE, "add_user", subject, "role: viewer")


def known(folder: Path, clock: FakeClock) -> list[DeedRow]:
    """What the journal in ``folder`` knows."""
    reader = SqliteLogReader(folder)
    try:
        return Audit.from_state(reader.state(), clock).newest()
    finally:
        reader.close()


async def test_a_change_is_noted_with_who_made_it(tmp_path: Path) -> None:
    """A change has one note, in the same commit; what nobody does has none."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, _):
        await hub.accounts.add("nobody", Role.VIEWER)
        with audit.doing(a_deed()):
            await hub.accounts.add("pierre", Role.VIEWER)
            # What else comes of the same deed is no other one.
            await hub.accounts.set_role("pierre", Role.OPERATOR)
        await hub.accounts.set_role("pierre", Role.ADMIN)
        assert len(hub.audit.newest()) == 1
    (row,) = known(tmp_path, clock)
    assert (row.who, row.way, row.deed, row.subject) == ("marie", Way.PAGE, "add_user", "pierre")
    assert (row.number, row.time) == (1, clock.now)


async def test_a_deed_that_fails_is_not_noted(tmp_path: Path) -> None:
    """A request that is refused has changed nothing."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with audit.doing(a_deed()), pytest.raises(UnknownToken):
            await hub.revoke_token("none")
        assert hub.audit.newest() == []


async def test_what_is_done_elsewhere_is_noted_too(tmp_path: Path) -> None:
    """A change outside of the journal is noted when it is done."""
    clock = FakeClock()
    async with open_hub(tmp_path, clock) as (hub, journal):
        with audit.doing(a_deed("certificate")):
            hub.note_deed()
            hub.note_deed()
        await journal.append(Batch())
    assert [row.subject for row in known(tmp_path, clock)] == ["certificate"]


def test_old_deeds_make_room() -> None:
    """No more than so many are kept, here and in the journal, and they stay in order."""
    clock = FakeClock()
    kept = Audit((), clock)
    state: dict[str, bytes | None] = {}
    for number in range(MOST_DEEDS + 5):
        batch = Batch()
        with audit.doing(a_deed(f"{number}" * 100)):
            kept.note(batch)
        state |= batch.state
    assert len(state) == MOST_DEEDS
    again = Audit.from_state({key: value for key, value in state.items() if value}, clock)
    assert again.newest() == kept.newest()
    first, *_, last = again.newest()
    assert (first.number, last.number) == (MOST_DEEDS + 5, 6)
    assert len(first.subject) == audit.MOST_CHARACTERS
    assert [row.number for row in again.newest(2)] == [MOST_DEEDS + 5, MOST_DEEDS + 4]
