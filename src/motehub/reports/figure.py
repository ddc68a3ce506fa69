"""What a plot shows, as plain values that travel to the drawing process.

Times are UTC microseconds since 1970. On the way the columns are raw bytes in the machine's
own order: both ends are processes of one machine.
"""

from __future__ import annotations

from array import array

import msgspec


class Curve(msgspec.Struct, frozen=True):
    """One line of a plot: readings of one ``metric`` in ``unit``, in any order of time.

    ``label`` stands in the legend. ``times`` is an ``array('q')`` of UTC microseconds and
    ``values`` an ``array('d')`` of the same length.

    Raises:
        ValueError: the two columns differ in length.

    """

    label: str
    metric: str
    unit: str
    times: array[int]
    values: array[float]

    def __post_init__(self) -> None:
        if len(self.times) != len(self.values):
            raise ValueError(
                f"{self.label}: {len(self.times)} times can't go with {len(self.values)} values"
            )


class Figure(msgspec.Struct, frozen=True):
    """A whole plot: a title and its curves, from ``since`` to ``until``.

    Both ends are UTC microseconds; ``None`` means where the readings themselves begin or end.
    Readings outside are not drawn.
    """

    title: str
    curves: tuple[Curve, ...]
    since: int | None = None
    until: int | None = None


def encode(figure: Figure) -> bytes:
    """Return ``figure`` as msgpack for the drawing process on the same machine."""
    curves = [
        _SentCurve(
            curve.label, curve.metric, curve.unit, _bytes_of(curve.times), _bytes_of(curve.values)
        )
        for curve in figure.curves
    ]
    return msgspec.msgpack.encode(_SentFigure(figure.title, curves, figure.since, figure.until))


def decode(payload: bytes) -> Figure:
    """Return the figure that ``encode`` made.

    Raises:
        msgspec.DecodeError: the bytes are not such a figure.

    """
    sent = msgspec.msgpack.decode(payload, type=_SentFigure)
    return Figure(sent.title, tuple(map(_received, sent.curves)), sent.since, sent.until)


class _SentCurve(msgspec.Struct, frozen=True):
    """A curve whose columns msgpack can carry (before Python 3.12 it can't name an array)."""

    label: str
    metric: str
    unit: str
    times: memoryview
    values: memoryview


class _SentFigure(msgspec.Struct, frozen=True):
    title: str
    curves: list[_SentCurve]
    since: int | None
    until: int | None


def _bytes_of(column: array[int] | array[float]) -> memoryview:
    # An empty array can't be cast.
    return memoryview(column).cast("B") if column else memoryview(b"")


def _received(sent: _SentCurve) -> Curve:
    times: array[int] = array("q")
    times.frombytes(sent.times)
    values: array[float] = array("d")
    values.frombytes(sent.values)
    return Curve(sent.label, sent.metric, sent.unit, times, values)
