"""Bodies of numbers whose series are known: the quick decoders say what the others say."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.model import Clock, Runs, Samples
from motehub.points import Body
from motehub.protocols import line_protocol, readings_json

NOW = 1_700_000_000_000_000

Reading = tuple[str | None, str, str, int, float, Clock]


class Everything(dict[Any, int]):
    """Knows every series that has a name, as if all were there."""

    def __init__(self, read: Callable[[Any], tuple[str | None, str, str] | None]) -> None:
        super().__init__()
        self.names: list[tuple[str | None, str, str]] = []
        self._read = read

    def __missing__(self, key: object) -> int:
        name = self._read(key)
        if name is None:
            raise KeyError(key)
        self.names.append(name)
        self[key] = len(self.names) - 1
        return self[key]


def quickly(runs: Runs, series: Everything) -> list[Reading]:
    """Return the readings of ``runs`` by series, in their order."""
    assert len(runs.times) == len(runs.values) == sum(runs.counts)
    neighbours = zip(runs.series, runs.series[1:], strict=False)
    assert all(one != other for one, other in neighbours)
    names = [
        series.names[number]
        for number, count in zip(runs.series, runs.counts, strict=True)
        for _ in range(count)
    ]
    found = zip(names, runs.times, runs.values, strict=True)
    readings = [(*name, time, value, runs.clock) for name, time, value in found]
    return sorted(readings, key=lambda reading: (str(reading[0]), *reading[1:3]))


def slowly(body: Body) -> list[Reading]:
    """Return the readings of ``body`` by series, in the order of its lines."""
    assert not body.bad
    assert not body.unlisted
    lines: list[tuple[int, Reading]] = []
    for column in body.columns:
        record = column.record
        assert isinstance(record, Samples)
        for line, time, value in zip(column.lines, record.times, record.values, strict=True):
            name = (column.device, record.metric, record.unit)
            lines.append((line, (*name, time, value, record.clock)))
    readings = [reading for _, reading in sorted(lines, key=lambda one: one[0])]
    return sorted(readings, key=lambda reading: (str(reading[0]), *reading[1:3]))


def points(body: bytes, precision: str = "s") -> list[Reading] | None:
    """Return what the quick decoder says, which must be what the other one says."""
    series = Everything(line_protocol.read_key)
    runs = line_protocol.decode_known(body, NOW, series, precision=precision)
    if runs is None:
        return None
    readings = quickly(runs, series)
    assert readings == slowly(line_protocol.decode_points(body, NOW, precision=precision))
    return readings


def items(body: bytes, *, lines: bool = False) -> list[Reading] | None:
    """Do the same with readings in JSON."""
    series = Everything(readings_json.read_key)
    runs = readings_json.decode_known(body, NOW, series, lines=lines)
    if runs is None:
        return None
    readings = quickly(runs, series)
    assert readings == slowly(readings_json.decode_readings(body, NOW, lines=lines))
    return readings


POINTS = {
    "one point": (b"weather,device=a temperature=21.5 1700000000\n", 1),
    "no newline at the end": (b"t value=-1e3 5\nt value=.5 6", 2),
    "no times": (b"t,device=a value=1\nt,device=b value=2\nt,device=a value=3\n", 3),
    "other tags in another order": (b"t,x=1,host=a,b=2 value=1 1\nt,b=2,x=1,host=a value=2 2", 2),
    "a time before 1970": (b"t value=1 -5", 1),
    "one series": (b"t,device=a value=1 5\nt,device=a value=-2e1 6\nt,device=a value=.5 4\n", 3),
    "one series, no newline": (b"t,device=a value=1 5\nt,device=a value=2 -6", 2),
    "two fields of a device": (b"t,host=a f=1 5\nt,host=a g=2 5\nt,host=a f=3 6\n", 3),
    "series that begin alike": (b"t,host=a f=1 5\nt,host=ab f=2 5\nt,host=a ff=3 6\n", 3),
}


@pytest.mark.parametrize(("body", "count"), POINTS.values(), ids=POINTS)
def test_plain_points_are_decoded_quickly(body: bytes, count: int) -> None:
    """One number a line, all with a time or none."""
    found = points(body)
    assert found is not None
    assert len(found) == count


ODD_POINTS = {
    "nothing": b"",
    "an empty line": b"t value=1 1\n\n",
    "a comment": b"# weather\nt value=1 1\n",
    "a comment like a point": b"#t value=1 1\n",
    "two fields": b"t a=1,b=2 1\n",
    "a text": b't value="x" 1\n',
    "an integer": b"t value=1i 1\n",
    "a boolean": b"t value=true 1\n",
    "an escape": b"t\\ x value=1 1\n",
    "a carriage return": b"t value=1 1\r\n",
    "times here and there": b"t value=1\nt value=1 1\n",
    "a point in a point": b"t value=t value=1 1\n1 1\n",
    "a point in a number": b"t value=1t value=2 1\nt value=3 1\n",
    "a part too many and one too few": b"t value=1 2 3\nt value=4\n",
    "a time on another line": b"t value=1\n1 t value=2 1\n",
    "an escaped newline": b"t value=1\\\n1 1\n",
    "a long time": b"t value=1 " + b"0" * 40 + b"1\n",
    "a sign within a time": b"t value=1 1-1\n",
    "no time": b"t value=1 -\n",
    "spaces that come out even": b"t value=1\n17 t value=1 1\n",
    "two spaces": b"t  value=1 1\n",
    "a number with underscores": b"t value=1_0 1\n",
    "infinity": b"t value=1e999 1\n",
    "both infinities": b"t value=1e999 1\nt value=-1e999 1\n",
    "no number": b"t value=-+ 1\n",
    "a time beyond all": b"t value=1 99999999999999999\n",
    "a time with a sign": b"t value=1 +5\n",
    "no measurement": b",device=a value=1 1\n",
    "a tag twice": b"t,a=1,a=2 value=1 1\n",
    "bad UTF-8": b"t,device=\xff value=1 1\n",
    "what can't be printed": b"t,device=a\x00 value=1 1\n",
    "a long name": b"t" * 200 + b" value=1 1\n",
    "a long number": b"t value=1." + b"0" * 500 + b" 1\n",
}


@pytest.mark.parametrize("body", ODD_POINTS.values(), ids=ODD_POINTS)
def test_other_points_are_left_to_those_who_know(body: bytes) -> None:
    """Also when they stand behind plain ones."""
    assert points(body) is None
    if body:
        assert points(b"t value=1 1\n" + body) is None


HEADS = st.sampled_from([b"t", b"t,device=a", b"t,device=b,x=\xc3\xa9", b"#", b"t,", b'q"', b"\\"])
FIELDS = st.sampled_from(
    [b"value=1", b"value=1.5e3", b"h=-2", b"h=2i", b"h=inf", b'h=""', b"h=1,k=2"]
)
STAMPS = st.sampled_from(
    [b" 1700000000", b" 1700000001", b" -1", b"", b" ", b" x", b" 1 2", b" 1\r"]
)


@given(st.lists(st.tuples(HEADS, FIELDS, STAMPS).map(lambda p: p[0] + b" " + p[1] + p[2])))
def test_any_points_mean_the_same_both_ways(lines: list[bytes]) -> None:
    """What the quick decoder takes is what the other one reads in it."""
    points(b"\n".join(lines))


@given(st.lists(st.sampled_from([b"t value=", b"t", b"\n", b" ", b"1", b"-", b"=", b"_", b"\r"])))
def test_parts_of_points_in_any_order_mean_the_same_both_ways(parts: list[bytes]) -> None:
    """So do bodies that are nearly points of one series."""
    points(b"".join(parts))
    points(b"t value=1 1\nt value=2 1\n" + b"".join(parts))


@given(st.binary(max_size=80))
def test_garbage_is_no_body_of_points(garbage: bytes) -> None:
    """Nothing but None comes of it, or what the other decoder says too."""
    points(garbage)
    points(b"t value=1 1\n" + garbage)


def item(**changes: object) -> dict[str, object]:
    return {"device": "a", "metric": "t", "value": 1.5, "time": 1_700_000_000} | changes


ITEMS: dict[str, list[dict[str, object]]] = {
    "one": [item()],
    "many devices": [item(device=f"d{n}") for n in range(9)],
    "one device": [item(time=n, value=n) for n in range(9)],
    "units": [item(unit="°C"), item(unit="K")],
    "no times": [{"device": "a", "metric": "t", "value": n} for n in range(3)],
    "times in text": [item(time="2026-07-01T12:00:00Z"), item(time="2026-07-01T12:00:00.5+01:00")],
    "times in fractions": [item(time=1.5), item(time=2.25)],
    "booleans": [item(value=True), item(value=False)],
    "no device": [{"metric": "t", "value": 1, "time": 5}],
}


@pytest.mark.parametrize("given_items", ITEMS.values(), ids=ITEMS)
def test_plain_items_are_decoded_quickly(given_items: list[dict[str, object]]) -> None:
    """As an array, alone and line by line."""
    found = items(json.dumps(given_items).encode())
    assert found is not None
    assert len(found) == len(given_items)
    assert found == items("\n".join(map(json.dumps, given_items)).encode(), lines=True)


ODD_ITEMS = {
    "nothing": b"[]",
    "a text": json.dumps([item(), item(value="x")]).encode(),
    "times here and there": json.dumps([item(), item(time=None)]).encode(),
    "a device here and there": b'[{"metric":"t","value":1},{"device":"a","metric":"t","value":1}]',
    "a key twice": b'{"metric":"t","value":1,"value":2}',
    "a key twice, written otherwise": b'{"metric":"t","value":1,"v\\u0061lue":2}',
    "an unknown key": b'{"metric":"t","value":1,"x":2}',
    "no name": json.dumps([item(metric="")]).encode(),
    "an empty device": json.dumps([item(device="")]).encode(),
    "a time beyond all": json.dumps([item(time=10**12)]).encode(),
    "a time beyond 64 bits": json.dumps([item(time=10**18)]).encode(),
    "a time before all": json.dumps([item(time=-1)]).encode(),
    "a time that is none": json.dumps([item(time="soon")]).encode(),
    "no JSON": b'{"metric":"t","value":',
    "a number too large": b'{"metric":"t","value":1e999}',
}


@pytest.mark.parametrize("body", ODD_ITEMS.values(), ids=ODD_ITEMS)
def test_other_items_are_left_to_those_who_know(body: bytes) -> None:
    """What is unusual or wrong has to be looked at one by one."""
    assert items(body) is None
    assert items(body, lines=True) is None


VALUES = st.one_of(st.floats(allow_nan=False, allow_infinity=False), st.integers(0, 9), st.text())
TIMES = st.one_of(st.integers(-1, 2**40), st.floats(0, 1e10), st.sampled_from([None, "", "x"]))


@given(
    st.lists(
        st.fixed_dictionaries(
            {"metric": st.sampled_from(["t", "h", ""]), "value": VALUES},
            optional={"device": st.sampled_from(["a", "b", "", None]), "time": TIMES},
        )
    )
)
def test_any_items_mean_the_same_both_ways(given_items: list[dict[str, object]]) -> None:
    """What the quick decoder takes is what the other one reads in it."""
    items(json.dumps(given_items).encode())
