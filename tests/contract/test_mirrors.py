"""What every mirror promises, checked on each of them with its real server."""

from __future__ import annotations

import random
from array import array
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec
import pytest
import redis
from tests.servers import RedisServer, readings_in

from motehub import parts
from motehub.core.consumer import Consumer
from motehub.core.history import FoldIntoHistory
from motehub.core.mirror import ReflectInMirror
from motehub.core.registry import Registry
from motehub.frames import Batch, HeldReleased, TextReadings, encode_frame
from motehub.journals.sqlite import FILE_NAME, SqliteLog, SqliteLogReader
from motehub.mirror_contract import MirrorStore, MirrorUpdate
from motehub.model import Admission, Device, Samples, Texts
from motehub.stores.sqlite import SqliteHistory

SERVERS: Mapping[str, Callable[[], RedisServer]] = {"redis": RedisServer}
NOW = 1_700_000_000_000_000
SECOND = 1_000_000


class Stage:
    """A real journal that a test writes, the history that follows it, and a mirror of both."""

    def __init__(self, folder: Path, kind: str, url: str) -> None:
        self.folder = folder
        self.log = SqliteLog(folder)
        self.reader = SqliteLogReader(folder)
        self.registry = Registry()
        self._batch = Batch()
        self._kind = kind
        self._url = url
        self.history = Consumer(
            "history",
            self.reader,
            FoldIntoHistory(SqliteHistory(folder), self.reader, self.reader.journal()),
        )
        self.open(stream_length=100)

    def open(self, **settings: object) -> None:
        """Open the mirror anew, as the process does that takes the place of a dead one."""
        self.effect = ReflectInMirror(
            self.open_mirror(**settings),
            self.reader,
            self.reader.journal(),
            lambda: SqliteHistory(self.folder, read_only=True),
        )
        self._consumer: Consumer | None = None

    def open_mirror(self, **settings: object) -> MirrorStore:
        """Return another connection to the same mirror."""
        part = parts.mirror(self._kind)
        return part.open(msgspec.convert({"url": self._url, **settings}, part.settings))

    def begin_journal_anew(self, first: int) -> None:
        """Lose the journal, and begin another one after the history as the hub does."""
        self.log.close()
        self.reader.close()
        for file in self.folder.glob(f"{FILE_NAME}*"):
            file.unlink()
        self.log = SqliteLog(self.folder, first)
        self.reader = SqliteLogReader(self.folder)
        self.registry.describe(self._batch)
        self.open(stream_length=100)

    def add(self, name: str, *identities: str, admission: Admission = Admission.ACCEPTED) -> Device:
        """Register a device; without identities one that speaks another dialect."""
        first, *others = identities or (f"address:{name}",)
        device = self.registry.add(self._batch, name, "test", first, admission, NOW)
        return self.change(device, identities=(first, *others))

    def change(self, device: Device, **changes: Any) -> Device:
        """Change a device in the next frame."""
        device = msgspec.structs.replace(device, **changes)
        self.registry.replace(self._batch, device)
        return device

    def accept(self, device: Device) -> Device:
        """Accept a pending device in the next frame."""
        accepted = self.change(device, admission=Admission.ACCEPTED)
        self._batch.entries.append(HeldReleased(device.id))
        return accepted

    def remove(self, device: Device) -> None:
        """Remove a device in the next frame."""
        self.registry.remove(self._batch, device)

    def say(self, device: Device, time: int, **values: float | str) -> None:
        """Put readings of ``time`` (seconds) into the next frame."""
        moment, held = NOW + time * SECOND, device.admission is Admission.PENDING
        for metric, value in values.items():
            record: Samples | Texts
            if isinstance(value, str):
                record = Texts(metric, array("q", [moment]), [value])
            else:
                record = Samples(metric, "", array("q", [moment]), array("d", [value]))
            series = self.registry.series(device, record)
            series = series or self.registry.add_series(self._batch, device, record)
            if isinstance(record, Texts):
                entry = TextReadings(series.id, [moment], record.values, held)
                self._batch.entries.append(entry)
            else:
                columns = self._batch.held if held else self._batch.readings
                columns.add(series.id, record.times, record.values)

    def commit(self, time: int = 0) -> None:
        """Write the frame; it is committed ``time`` seconds after the beginning."""
        now = NOW + time * SECOND
        self.log.append(encode_frame([self._batch], now), now, self._batch.state)
        self._batch = Batch()

    def fold(self) -> None:
        """Bring the history up to the journal."""
        assert self.history.catch_up(), self.history.trouble

    @property
    def consumer(self) -> Consumer:
        """Who follows the journal for the mirror."""
        if self._consumer is None:
            self._consumer = Consumer("mirror", self.reader, self.effect, may_miss=True)
        return self._consumer

    def show(self) -> None:
        """Bring the mirror up to the journal, as its process does."""
        while not self.consumer.catch_up(look=True):
            assert "looked at anew" in str(self.consumer.trouble)

    def told(self, device: Device, time: int = 0, **values: float | str) -> None:
        """Have a device say something, and show it."""
        self.say(device, time, **values)
        self.commit(time)
        self.show()


@pytest.fixture(scope="module", params=parts.mirror_names())
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of mirror in turn."""
    return str(request.param)


@pytest.fixture(scope="module")
def server(kind: str) -> Iterator[RedisServer]:
    """The server of that kind."""
    with SERVERS[kind]() as running:
        yield running


@pytest.fixture
def client(server: RedisServer) -> Iterator[redis.Redis]:
    """A program that reads what the mirror shows; it begins with nothing."""
    with server.connect() as connection:
        connection.flushall()
        yield connection


@pytest.fixture
def stage(tmp_path: Path, kind: str, server: RedisServer, client: redis.Redis) -> Stage:
    """A journal, a history and a mirror, all new."""
    return Stage(tmp_path, kind, server.url)


def shown(client: redis.Redis) -> dict[str, Any]:
    """Return every key that is not the mirror's own, with what it has."""
    found: dict[str, Any] = {}
    for key in map(str, client.keys("*")):
        if not key.startswith("motehub:"):
            found[key] = client.hgetall(key) if client.type(key) == "hash" else client.get(key)
    return found


def stream(client: redis.Redis) -> list[tuple[str, str, int, str]]:
    """Return device, metric, seconds and value of each entry of the stream."""
    return [
        (one["device"], one["metric"], (int(one["time"]) - NOW) // SECOND, one["value"])
        for one in readings_in(client)
    ]


def test_each_dialect_has_its_place(stage: Stage, client: redis.Redis) -> None:
    """Flat fields are keys, nested ones fields under the key as sent, others under the name."""
    flat = stage.add("gateway", "json_socket.flat:gateway")
    nested = stage.add("room-1", "json_socket:room/1")
    both = stage.add("both", "json_socket.flat:both", "json_socket:both")
    other = stage.add("cellar")
    for device in (flat, nested, other):
        stage.say(device, 0, **{f"level{device.id}": 1.5})
    stage.say(both, 0, x=2.0)
    stage.commit()
    stage.show()
    assert shown(client) == {
        "level1": "1.5",
        "room/1": {"level2": "1.5"},
        "cellar": {"level4": "1.5"},
        "x": "2",
        "both": {"x": "2"},
    }


def test_values_look_as_the_original_wrote_them(stage: Stage, client: redis.Redis) -> None:
    """Whole numbers have no point, others all their digits; texts are as they were sent."""
    device = stage.add("d", "json_socket:d")
    given: dict[str, float | str] = {
        "whole": 12.0,
        "minus": -3.0,
        "part": 0.1,
        "tiny": 1e-9,
        "vast": 1e300,
        "t": "Grüße",
    }
    stage.say(device, 0, **given)
    stage.commit()
    stage.show()
    assert shown(client)["d"] == {
        "whole": "12",
        "minus": "-3",
        "part": "0.1",
        "tiny": "1e-09",
        "vast": "1e+300",
        "t": "Grüße",
    }


def test_later_values_overwrite_field_by_field(stage: Stage, client: redis.Redis) -> None:
    """What a later object does not name stays; a metric may change from number to text."""
    device = stage.add("d", "json_socket:d")
    stage.told(device, 1, a=1.0, b=2.0)
    stage.told(device, 2, b="off", c=3.0)
    assert shown(client) == {"d": {"a": "1", "b": "off", "c": "3"}}


def test_of_many_frames_the_newest_value_is_shown(stage: Stage, client: redis.Redis) -> None:
    """Frames that wait are shown in one go, and the stream has every reading in order."""
    device = stage.add("d")
    for n in range(50):
        stage.say(device, n, a=float(n))
        stage.commit(n)
    stage.show()
    assert shown(client) == {"d": {"a": "49"}}
    assert stream(client) == [("d", "a", n, str(n)) for n in range(50)]
    assert stage.effect.counts["written"] == 1


def test_a_late_reading_does_not_hide_a_newer_one(stage: Stage, client: redis.Redis) -> None:
    """Backdated readings go into the stream, and are shown where nothing newer is."""
    device = stage.add("d")
    stage.told(device, 10, a=10.0)
    stage.say(device, 4, a=4.0, b=4.0)
    stage.commit(11)
    stage.show()
    stage.open()
    stage.say(device, 5, a=5.0, b=5.0)
    stage.commit(12)
    stage.show()
    assert shown(client) == {"d": {"a": "10", "b": "5"}}
    assert [value for _, metric, _, value in stream(client) if metric == "a"] == ["10", "4", "5"]


def test_a_time_in_the_future_does_not_stop_a_value(stage: Stage, client: redis.Redis) -> None:
    """A clock that was wrong and was set right again: what comes now is shown."""
    device = stage.add("d")
    stage.say(device, 3600, a=1.0)
    stage.commit(0)
    stage.show()
    stage.told(device, 2, a=2.0)
    assert shown(client) == {"d": {"a": "2"}}


def test_the_stream_is_bounded(stage: Stage, client: redis.Redis) -> None:
    """Of more readings than it keeps only the last are added; with 0 there is no stream."""
    device = stage.add("d")
    for n in range(500):
        stage.say(device, n, a=float(n))
        stage.say(device, n, t=f"text {n}")
    stage.commit()
    stage.show()
    assert stream(client) == [("d", "t", n, f"text {n}") for n in range(400, 500)]
    for n in range(500, 1500):
        stage.say(device, n, a=float(n))
        stage.commit()
        if n % 10 == 0:
            stage.show()
    stage.show()
    times = [time for _, _, time, _ in stream(client)]
    assert times[-100:] == list(range(1400, 1500))
    assert len(times) < 300
    stage.open(stream_length=0)
    stage.told(device, 2000, a=1.0)
    assert stream(client)[-1][2] == 1499


def test_a_failed_transaction_leaves_nothing(stage: Stage, client: redis.Redis) -> None:
    """When the cursor has moved meanwhile nothing is done, and nothing is done twice."""
    device = stage.add("d")
    stage.told(device, 1, a=1.0)
    late = stage.open_mirror(stream_length=100)
    journal = stage.reader.journal()
    assert late.position(journal) == 1
    stage.told(device, 2, a=2.0)
    assert not late.apply(MirrorUpdate(1, 2, NOW, [], [], [], []))
    assert late.position(journal) == 2
    assert stream(client) == [("d", "a", 1, "1"), ("d", "a", 2, "2")]


def test_a_dead_connection_is_made_anew(stage: Stage, client: redis.Redis) -> None:
    """Whether the last transaction was done is looked up; each reading is there once."""
    device = stage.add("d")
    stage.told(device, 1, a=1.0)
    client.client_kill_filter(_type="normal", skipme=True)
    stage.say(device, 2, a=2.0)
    stage.commit()
    assert not stage.consumer.catch_up()
    assert stage.consumer.catch_up()
    assert stream(client) == [("d", "a", 1, "1"), ("d", "a", 2, "2")]


def test_a_mirror_that_forgot_all_is_filled_again(stage: Stage, client: redis.Redis) -> None:
    """A server that was emptied gets every newest value from the history, then goes on."""
    device, gone = stage.add("d"), stage.add("gone")
    stage.say(device, 1, a=1.0, t="x")
    stage.say(gone, 1, a=1.0)
    stage.commit()
    stage.remove(gone)
    stage.told(device, 2, a=2.0)
    stage.fold()
    client.flushall()
    stage.told(device, 3, b=3.0)
    assert shown(client) == {"d": {"a": "2", "b": "3", "t": "x"}}
    assert stream(client)[-1] == ("d", "b", 3, "3")
    assert stage.effect.counts["fillings"] == 2


def test_an_older_state_of_the_server_is_brought_up(
    stage: Stage, client: redis.Redis, server: RedisServer
) -> None:
    """A snapshot restored: the journal is followed from its cursor on, each reading once."""
    device = stage.add("d")
    stage.told(device, 1, a=1.0)
    with redis.Redis.from_url(server.url) as raw:
        kept = {key: raw.dump(key) for key in raw.keys("*")}
        stage.told(device, 2, a=2.0, b=2.0)
        raw.flushall()
        for key, value in kept.items():
            raw.restore(key, 0, value)
    stage.told(device, 3, a=3.0)
    assert shown(client) == {"d": {"a": "3", "b": "2"}}
    assert [time for *_, time, _ in stream(client)] == [1, 2, 2, 3]
    assert stage.effect.counts["fillings"] == 1


def test_a_journal_that_has_moved_on_means_a_filling(stage: Stage, client: redis.Redis) -> None:
    """What was trimmed comes from the history; keys of what was removed meanwhile go."""
    device, gone = stage.add("d"), stage.add("gone")
    stage.say(gone, 0, a=1.0)
    stage.told(device, 1, a=1.0)
    stage.remove(gone)
    stage.change(device, name="hall")
    for n in range(2, 10):
        stage.say(device, n, a=float(n), **{f"m{n}": 1.0})
        stage.commit(n)
    stage.fold()
    stage.log.trim(5, 100)
    stage.told(device, 10, a=10.0)
    metrics = {f"m{n}": "1" for n in range(2, 10)}
    assert shown(client) == {"hall": {"a": "10", **metrics}}
    assert stage.effect.counts["fillings"] == 2


def test_another_journal_means_a_filling(stage: Stage, client: redis.Redis) -> None:
    """Positions of a journal that was lost say nothing about the one that was begun anew."""
    device = stage.add("d")
    for n in range(3):
        stage.told(device, n, a=float(n))
    stage.fold()
    stage.begin_journal_anew(first=4)
    stage.told(device, 5, a=5.0)
    assert shown(client) == {"d": {"a": "5"}}
    assert [time for *_, time, _ in stream(client)] == [0, 1, 2, 5]
    assert stage.effect.counts["fillings"] == 1


def test_held_readings_show_when_the_device_is_accepted(stage: Stage, client: redis.Redis) -> None:
    """Nothing of a pending device is shown; then its newest values are, from the history."""
    device = stage.add("d", admission=Admission.PENDING)
    stage.told(device, 1, a=1.0, b=1.0, t="one")
    stage.told(device, 2, a=2.0)
    assert shown(client) == {}
    device = stage.accept(device)
    stage.say(device, 3, b=3.0)
    stage.commit()
    stage.fold()
    stage.show()
    assert shown(client) == {"d": {"a": "2", "b": "3", "t": "one"}}
    assert stream(client) == [("d", "b", 3, "3")]


def test_a_renamed_device_moves(stage: Stage, client: redis.Redis) -> None:
    """Its hash has the new name; one that is known by its key keeps that; names can be swapped."""
    plain, other = stage.add("plain"), stage.add("other")
    nested = stage.add("nested", "json_socket:nested")
    for device in (plain, other, nested):
        stage.say(device, 1, a=float(device.id), b="x")
    stage.commit()
    stage.show()
    stage.open(stream_length=100)
    plain = stage.change(plain, name="waits")
    other = stage.change(other, name="plain")
    plain = stage.change(plain, name="other")
    nested = stage.change(nested, name="renamed")
    stage.told(other, 2, b="y")
    assert shown(client) == {
        "other": {"a": "1", "b": "x"},
        "plain": {"a": "2", "b": "y"},
        "nested": {"a": "3", "b": "x"},
    }
    stage.change(plain, name="alone")
    stage.commit()
    stage.show()
    assert shown(client)["alone"] == {"a": "1", "b": "x"}
    assert "other" not in shown(client)


def test_a_removed_device_goes(stage: Stage, client: redis.Redis) -> None:
    """Its keys and fields go, whatever it was; those of others under the same key stay."""
    flat = stage.add("f", "json_socket.flat:f")
    nested = stage.add("n", "json_socket:shared")
    other = stage.add("shared")
    stage.say(flat, 1, x=1.0, y="t")
    stage.say(nested, 1, a=1.0, same=1.0)
    stage.say(other, 2, b=2.0, same=2.0)
    stage.commit()
    stage.show()
    stage.open()
    stage.remove(flat)
    stage.remove(nested)
    stage.commit()
    stage.show()
    assert shown(client) == {"shared": {"b": "2", "same": "2"}}


def test_keys_change_between_string_and_hash(stage: Stage, client: redis.Redis) -> None:
    """The later one stays, in one frame as in two; removal does not take the other's."""
    flat = stage.add("f", "json_socket.flat:f")
    nested = stage.add("n", "json_socket:k")
    stage.told(flat, 1, k=1.0)
    stage.told(nested, 2, a=2.0)
    assert shown(client) == {"k": {"a": "2"}}
    stage.told(flat, 3, k=3.0)
    assert shown(client) == {"k": "3"}
    stage.say(flat, 4, k=4.0)
    stage.say(nested, 5, a=5.0)
    stage.commit()
    stage.show()
    assert shown(client) == {"k": {"a": "5"}}
    stage.remove(flat)
    stage.commit()
    stage.show()
    assert shown(client) == {"k": {"a": "5"}}


def test_keys_of_others_are_left_alone(stage: Stage, client: redis.Redis) -> None:
    """A list of another program is not overwritten by a hash, nor are the mirror's own keys."""
    client.rpush("queue", "job")
    queue = stage.add("queue")
    sly = stage.add("sly", "json_socket:motehub:cursor", "json_socket.flat:sly")
    stage.say(queue, 1, a=1.0)
    stage.say(sly, 1, **{"motehub:times": 1.0, "fine": 1.0})
    stage.commit()
    stage.show()
    stage.told(queue, 2, a=2.0)
    assert client.lrange("queue", 0, -1) == ["job"]
    assert client.get("fine") == "1"
    assert client.type("motehub:times") == "hash"
    assert stage.effect.counts["conflicts"] == 2


def test_a_filling_shows_the_newer_of_number_and_text(stage: Stage, client: redis.Redis) -> None:
    """A metric that changed its kind is two series, of which one is shown."""
    device = stage.add("d")
    for metric, first, second in (("a", 1.0, "two"), ("b", "one", 2.0)):
        stage.say(device, 1, **{metric: first})
        stage.say(device, 2, **{metric: second})
    stage.commit()
    stage.fold()
    stage.show()
    assert shown(client) == {"d": {"a": "two", "b": "2"}}
    client.flushall()
    stage.show()
    assert shown(client) == {"d": {"a": "two", "b": "2"}}


def test_frames_that_were_sent_show_like_those_of_the_journal(
    stage: Stage, client: redis.Redis
) -> None:
    """Sent late, twice, with gaps or not at all: each reading is there once, in order."""
    device = stage.add("d", "json_socket:d")
    stage.told(device, 0, a=0.0)
    rng = random.Random(3)
    for n in range(1, 60):
        stage.say(device, n, a=float(n))
        if n % 20 == 0:
            device = stage.change(device, name=f"d{n}")
        stage.commit(n)
        newest = stage.reader.read(max(0, stage.log.head - rng.randint(1, 3)), 10**9)
        sent = [one for one in newest if rng.random() < 0.8]
        if n % 7 == 0:
            client.client_kill_filter(_type="normal", skipme=True)
        if n % 11 == 0:
            stage.open(stream_length=100)
        while not stage.consumer.catch_up(told=sent):
            pass
    stage.show()
    assert shown(client) == {"d": {"a": "59"}}
    assert [time for _, _, time, _ in stream(client)] == list(range(60))
    assert stage.consumer.from_memory > 0
    assert stage.effect.counts["fillings"] == 0


def test_a_frame_that_was_sent_meets_an_emptied_mirror(stage: Stage, client: redis.Redis) -> None:
    """It is not shown alone: the mirror is filled first."""
    device = stage.add("d")
    stage.told(device, 1, a=1.0, b=1.0)
    stage.fold()
    client.flushall()
    stage.say(device, 2, a=2.0)
    stage.commit()
    (frame,) = stage.reader.read(stage.log.head - 1, 1)
    assert not stage.consumer.catch_up(told=[frame])
    assert stage.consumer.catch_up(told=[frame])
    assert shown(client) == {"d": {"a": "2", "b": "1"}}
    assert stage.effect.counts["fillings"] == 2


def test_many_series_are_filled(stage: Stage, client: redis.Redis) -> None:
    """More values than go into one write."""
    devices = [stage.add(f"d{n}") for n in range(60)]
    for device in devices:
        stage.say(device, 1, **{f"m{n}": float(n) for n in range(100)})
    stage.commit()
    stage.fold()
    stage.show()
    client.flushall()
    stage.show()
    assert shown(client)["d59"] == {f"m{n}": str(n) for n in range(100)}
    assert client.hlen("motehub:times") == 6000
