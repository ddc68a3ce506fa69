"""What an import carries: its bytes, and whose its readings become."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.config import load
from motehub.core.hub import Hub
from motehub.errors import InvalidName, OwnerError
from motehub.model import Admission, Samples, Texts
from motehub.storage import open_hub
from motehub.transfer.pieces import DeviceReadings, pack, take_in, unpack

INT64 = st.integers(-(2**63), 2**63 - 1)


@st.composite
def records(draw: st.DrawFn) -> Samples | Texts:
    times = array("q", draw(st.lists(INT64, min_size=1, max_size=5)))
    count = len(times)
    if draw(st.booleans()):
        texts = draw(st.lists(st.text(), min_size=count, max_size=count))
        return Texts(draw(st.text()), times, texts)
    floats = st.lists(st.floats(allow_nan=False), min_size=count, max_size=count)
    values = array("d", draw(floats))
    return Samples(draw(st.text()), draw(st.text()), times, values)


readings = st.builds(DeviceReadings, st.text(), st.lists(records(), max_size=3))


@given(st.lists(readings, max_size=3))
def test_a_piece_comes_out_as_it_went_in(piece: list[DeviceReadings]) -> None:
    """Every time, value and text; of a device numbers come first."""
    expected = [
        DeviceReadings(
            one.device, sorted(one.records, key=lambda record: isinstance(record, Texts))
        )
        for one in piece
    ]
    assert unpack(pack(piece)) == expected


@given(st.lists(readings, min_size=1, max_size=2), st.data())
def test_what_is_no_piece_is_refused(piece: list[DeviceReadings], data: st.DataObject) -> None:
    """Cut off or changed bytes give a piece or an OwnerError, and nothing else."""
    content = bytearray(pack(piece))
    place = data.draw(st.integers(0, len(content) - 1))
    with pytest.raises(OwnerError):
        unpack(bytes(content[:place]))
    content[place] = data.draw(st.integers(0, 255))
    with suppress(OwnerError):
        unpack(bytes(content))


def test_columns_of_unlike_length_are_refused() -> None:
    """A time without a value is no reading."""
    odd = Samples("m", "", array("q", [1, 2]), array("d", [1.0]))
    with pytest.raises(OwnerError, match="as many times as values"):
        unpack(pack([DeviceReadings("a", [odd])]))


@pytest.fixture
async def hub(tmp_path: Path) -> AsyncIterator[Hub]:
    """A hub at which unknown devices wait for approval."""
    async with asyncio.TaskGroup() as tasks:
        with open_hub(load(None, {}, data_dir=tmp_path), tasks) as (made, journal):
            async with journal:
                yield made


def one(device: str) -> list[DeviceReadings]:
    return [DeviceReadings(device, [Samples("m", "", array("q", [1]), array("d", [1.0]))])]


async def test_an_import_makes_its_device(hub: Hub) -> None:
    """It is accepted at once: the owner has named it."""
    (receipt,) = await take_in(hub, one("a"))
    assert (receipt.taken, receipt.rejected) == (1, 0)
    assert hub.registry.by_name("a").admission is Admission.ACCEPTED
    with pytest.raises(InvalidName):
        await take_in(hub, one("a/b"))


async def test_an_import_goes_by_the_name_alone(hub: Hub) -> None:
    """After a rename the old name is another device, and the new one still the same."""
    await take_in(hub, one("a"))
    first = await hub.rename_device("a", "b")
    await take_in(hub, one("a"))
    await take_in(hub, one("b"))
    assert hub.registry.by_name("b") == first
    assert hub.registry.by_name("a").id != first.id
    again = await hub.rename_device("a", "c")
    await take_in(hub, one("a"))
    assert len({hub.registry.by_name(name).id for name in "abc"}) == 3
    assert hub.registry.by_name("c") == again


async def test_a_blocked_device_gets_nothing(hub: Hub) -> None:
    """The import is told why."""
    await take_in(hub, one("a"))
    await hub.block_device("a")
    (receipt,) = await take_in(hub, one("a"))
    assert (receipt.taken, receipt.reason) == (0, "the device is blocked")
