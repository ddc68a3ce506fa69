"""Names that sources suggest never stand in the way of what they say."""

from pathlib import Path

import pytest
from tests.unit.core.support import SOURCE, START, FakeClock, open_hub, say, temperature

from motehub.core.admission import Policy
from motehub.errors import InvalidName
from motehub.model import Admission, Source

ODD = "a\u202eb;"


@pytest.mark.parametrize("name", [ODD, "Ku\u0308che"])
async def test_a_vouched_source_with_an_odd_name_is_accepted(tmp_path: Path, name: str) -> None:
    """A certificate that the hub did not issue may hold any name; readings come first."""
    clock = FakeClock()
    vouched = Source("x", SOURCE.identity, name, "192.0.2.1", vouched=True)
    async with open_hub(tmp_path, clock, Policy.APPROVE) as (hub, _):
        await say(hub, SOURCE, [temperature(1)])
        await hub.rename_device(SOURCE.suggested_name, "K\u00fcche")
        receipt = await say(hub, vouched, [temperature(2, time=START + 9)])
        assert receipt.taken == 1
        assert hub.registry.by_name("K\u00fcche").admission is Admission.ACCEPTED


async def test_the_owner_accepts_a_device_with_an_odd_name(tmp_path: Path) -> None:
    """The name that a source suggested can be kept; one that the owner gives is checked."""
    odd = Source("x", "certificate:ab", ODD, "192.0.2.1")
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        await say(hub, odd, [temperature(1)])
        assert (await hub.accept_device(ODD, None)).name == ODD
        with pytest.raises(InvalidName):
            await hub.rename_device(ODD, ODD + "c")
        assert (await hub.rename_device(ODD, "Ku\u0308che")).name == "K\u00fcche"
