"""What listeners hear of what is committed, and what it costs to be slow or not there."""

from __future__ import annotations

import asyncio
from array import array
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from tests.harness import PATIENCE
from tests.unit.core.support import SOURCE, START, FakeClock, open_hub, say, temperature

from motehub.command import CommandState
from motehub.core.admission import Policy
from motehub.core.feed import (
    BACKLOG,
    CROWD,
    MOST_POINTS,
    MOST_TOLD,
    POINTS_OF_CROWD,
    TOLD_AT_ONCE,
    DeviceNews,
    Listener,
)
from motehub.model import MICROSECONDS, Admission, Clock, Samples, Texts


async def next_of(listener: Listener) -> dict[str, DeviceNews]:
    """Return the next news, by the devices' names."""
    async with asyncio.timeout(PATIENCE):
        news = await listener.next()
    return {one.device.name: one for one in news.devices.values()}


async def test_a_listener_hears_of_readings_once_they_are_durable(tmp_path: Path) -> None:
    """News has the device, the series with its unit, and the readings in their order."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen() as listener:
            await say(hub, SOURCE, [temperature(20.5, 21.0)])
            news = (await next_of(listener))["dht-192.0.2.1"]
    (readings,) = news.readings
    assert (readings.series.metric, readings.series.unit) == ("temperature", "°C")
    assert readings.times == [START, START + MICROSECONDS]
    assert readings.values == [20.5, 21.0]
    assert readings.skipped == 0
    assert news.changed


async def test_texts_are_news_like_numbers(tmp_path: Path) -> None:
    """A text series comes with its texts."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen() as listener:
            texts = Texts("state", array("q", [START]), ["open"], Clock.DEVICE)
            await say(hub, SOURCE, [texts])
            (readings,) = (await next_of(listener))["dht-192.0.2.1"].readings
    assert (readings.series.metric, readings.values) == ("state", ["open"])


async def test_an_order_of_devices_is_news_of_its_user(tmp_path: Path) -> None:
    """Whoever looks on hears whose order has changed, also when they come back."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen() as listener:
            await hub.accounts.arrange("marie", [])
            async with asyncio.timeout(PATIENCE):
                news = await listener.next()
            assert not news.devices
            assert news.arranged == {"marie"}
            with hub.feed.listen(news.position - 1) as other:
                assert other.resumed
                assert other.take() == news


async def test_readings_that_wait_for_approval_are_no_news(tmp_path: Path) -> None:
    """A pending device is shown; what it says is not, until its owner accepts it."""
    async with open_hub(tmp_path, FakeClock(), Policy.APPROVE) as (hub, _):
        with hub.feed.listen() as listener:
            await say(hub, SOURCE, [temperature(20)])
            news = (await next_of(listener))["dht-192.0.2.1"]
            assert news.device.admission is Admission.PENDING
            assert not news.readings
            await hub.accept_device("dht-192.0.2.1", "greenhouse")
            assert (await next_of(listener))["greenhouse"].changed


@pytest.mark.parametrize(("listening", "told"), [(1, MOST_POINTS), (CROWD + 1, POINTS_OF_CROWD)])
async def test_of_a_flood_the_newest_readings_of_each_series_stay(
    tmp_path: Path, listening: int, told: int
) -> None:
    """One piece of news is bounded, more so for many; what it leaves out is counted."""
    count = told + 36
    times = array("q", range(START, START + count))
    flood = Samples("temperature", "°C", times, array("d", range(count)))
    async with open_hub(tmp_path, FakeClock()) as (hub, _), AsyncExitStack() as stack:
        *_, listener = [stack.enter_context(hub.feed.listen()) for _ in range(listening)]
        await say(hub, SOURCE, [flood])
        (readings,) = (await next_of(listener))["dht-192.0.2.1"].readings
    assert len(readings.values) == len(readings.times) == told
    assert readings.values[-1] == count - 1
    assert readings.skipped == 36


async def test_a_slow_listener_loses_the_oldest_and_knows_it(tmp_path: Path) -> None:
    """Its backlog is bounded, and another listener misses nothing for that."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen() as slow, hub.feed.listen() as quick:
            quick_heard = 0
            for number in range(BACKLOG + 3):
                await say(hub, SOURCE, [temperature(number, time=START + number)])
                # Not at the pace of pages: news is made at once here.
                hub.feed._tell()
                while quick.take() is not None:
                    quick_heard += 1
            assert quick_heard == BACKLOG + 3
            assert (slow.lost, quick.lost) == (3, 0)
            first = slow.take()
    assert first is not None
    ((device,),) = [list(first.devices.values())]
    assert device.readings[0].values == [3]


async def test_commands_are_news_at_each_step(tmp_path: Path) -> None:
    """A listener sees a command given, and what became of it."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(20)])
        with hub.feed.listen() as listener:
            given = await hub.command("dht-192.0.2.1", payload="red")
            (command,) = (await next_of(listener))["dht-192.0.2.1"].commands
            assert (command.id, command.state) == (given.id, CommandState.QUEUED)
            hub.commands.failed(given.id, "nobody is there")
            (command,) = (await next_of(listener))["dht-192.0.2.1"].commands
    assert (command.state, command.reason) == (CommandState.FAILED, "nobody is there")


async def test_a_removed_device_is_news_for_the_last_time(tmp_path: Path) -> None:
    """A page learns that it has to take the device away."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        await say(hub, SOURCE, [temperature(20)])
        with hub.feed.listen() as listener:
            await hub.remove_device("dht-192.0.2.1")
            assert (await next_of(listener))["dht-192.0.2.1"].removed


async def test_nothing_is_gathered_while_nobody_listens(tmp_path: Path) -> None:
    """After the last listener has gone commits cost nothing, and the next begins anew."""
    async with open_hub(tmp_path, FakeClock()) as (hub, journal):
        with hub.feed.listen():
            pass
        assert not journal._watchers
        await say(hub, SOURCE, [temperature(1)])
        with hub.feed.listen() as listener:
            await say(hub, SOURCE, [temperature(2, time=START + 9)])
            (readings,) = (await next_of(listener))["dht-192.0.2.1"].readings
    assert readings.values == [2]


async def test_who_comes_back_soon_hears_what_was_missed(tmp_path: Path) -> None:
    """A listener that names the last position it heard of goes on there without a gap."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen() as witness:
            with hub.feed.listen() as listener:
                await say(hub, SOURCE, [temperature(1)])
                position = (await listener.next()).position
            await say(hub, SOURCE, [temperature(2, time=START + 9)])
            while (await witness.next()).position == position:
                pass
            with hub.feed.listen(after=position) as listener:
                assert listener.resumed
                (readings,) = (await next_of(listener))["dht-192.0.2.1"].readings
    assert readings.values == [2]


async def test_who_comes_back_late_is_told_so(tmp_path: Path) -> None:
    """News that is not kept any more can't be resumed: the listener has to look it up."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        with hub.feed.listen(), hub.feed.listen() as listener:
            await say(hub, SOURCE, [temperature(1)])
            position = (await listener.next()).position
        with hub.feed.listen(after=position) as listener:
            assert not listener.resumed
        with hub.feed.listen() as listener:
            for number in range(BACKLOG + 2):
                await say(hub, SOURCE, [temperature(number, time=START + 10 + number)])
                hub.feed._tell()
            with hub.feed.listen(after=position + 1) as late:
                assert not late.resumed
                assert late.take() is None


async def test_the_more_look_on_the_less_often_each_is_told(tmp_path: Path) -> None:
    """Many listeners all hear everything, together no more often than there is time for."""
    count = 200
    async with open_hub(tmp_path, FakeClock()) as (hub, _), AsyncExitStack() as stack:
        listeners = [stack.enter_context(hub.feed.listen()) for _ in range(count)]
        began = asyncio.get_running_loop().time()
        for value in (1.0, 2.0):
            await say(hub, SOURCE, [temperature(value)])
            for one in listeners:
                (readings,) = (await next_of(one))["dht-192.0.2.1"].readings
                assert readings.values == [value]
        passed = asyncio.get_running_loop().time() - began
        assert all(one.take() is None for one in listeners)
    assert passed > 0.9 * count / MOST_TOLD


async def test_who_leaves_meanwhile_is_told_nothing(tmp_path: Path) -> None:
    """Listeners may go while news is passed on, the last of them too."""
    async with open_hub(tmp_path, FakeClock()) as (hub, _):
        listeners = [hub.feed.listen() for _ in range(3 * TOLD_AT_ONCE)]
        for one in listeners:
            one.__enter__()
        await say(hub, SOURCE, [temperature(1.0)])
        told: list[Listener] = []
        async with asyncio.timeout(PATIENCE):
            # In each turn of the loop, so that the next few are not told unseen.
            while not told:
                await asyncio.sleep(0)
                told = [one for one in listeners if one.take() is not None]
        assert len(told) == TOLD_AT_ONCE
        for one in listeners:
            one.__exit__(None, None, None)
        with hub.feed.listen() as late:
            await say(hub, SOURCE, [temperature(2.0)])
            assert (await next_of(late))["dht-192.0.2.1"].readings[0].values == [2.0]
        assert all(one.take() is None for one in listeners)
