"""The mutual-TLS port for streams of JSON objects; ``docs/protocols/json-socket.md``."""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TransportPart
from motehub.conversations import ConnectionLimits, Conversation, Peer, Turn
from motehub.listening import StreamListener
from motehub.model import (
    Clock,
    Delivery,
    Malformed,
    Receipt,
    Record,
    Samples,
    Source,
    Texts,
    derived_device_name,
)
from motehub.protocols.json_objects import (
    OBJECT_LIMIT,
    Broken,
    JsonObject,
    JsonObjectsDecoder,
    Value,
)
from motehub.quantities import Duration, Size

NAME = "json_socket"

ACKNOWLEDGED: Final = "motehub-ack/1"
"""ALPN protocol (RFC 7301) of clients that want a line back for each object."""

FLAT: Final = f"{NAME}.flat"
"""Beginning of the identity of a device that is known by flat objects of its certificate."""

_FEW: Final = 8
"""Fewer objects than this in a read are taken one by one."""

METRIC_BYTES: Final = 128
"""Longest name of a metric in UTF-8 bytes."""


_Key = str | None
"""The outer key of nested fields; None for flat ones, which are of the certificate's device."""


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.json_socket]``."""

    enabled: Annotated[bool, Meta(description="Whether this listener runs.")] = True
    host: Annotated[str, Meta(description='Address to listen on; "" = all, IPv6 too.')] = "0.0.0.0"  # noqa: S104
    port: Annotated[int, Meta(ge=0, le=65535, description="TCP port; 0 = any free one.")] = 1191
    client_certificates: Annotated[
        str,
        Meta(
            description="PEM file of clients' own certificates, believed beside those that "
            "the hub issued; it may come and change while the hub runs."
        ),
    ] = "client_certs.crt"
    devices: Annotated[
        dict[str, list[str]],
        Meta(
            description='Devices that a certificate may write: {"gateway" = ["room1"]}; '
            "one that is not named may write all."
        ),
    ] = {}
    object_limit: Annotated[Size, Meta(description="Longest JSON object.")] = Size(OBJECT_LIMIT)
    connections: Annotated[int, Meta(ge=1, description="Most connections at a time.")] = 2000
    connections_per_address: Annotated[
        int, Meta(ge=1, description="Most connections from one address at a time.")
    ] = 1024
    handshake_timeout: Annotated[
        Duration, Meta(description="Longest time for the TLS handshake.")
    ] = Duration(10)
    idle_timeout: Annotated[
        Duration, Meta(description="A connection that says nothing for so long is closed.")
    ] = Duration(7 * 86400)


class JsonSocket:
    """See :class:`motehub.contracts.Transport`."""

    def __init__(self, settings: Settings, ground: Ground) -> None:
        self._settings = settings
        limits = ConnectionLimits(
            settings.connections,
            settings.connections_per_address,
            settings.handshake_timeout,
            settings.idle_timeout,
        )
        trust = ClientTrust(
            required=True,
            bundle=Path(settings.client_certificates) if settings.client_certificates else None,
            protocols=(ACKNOWLEDGED,),
        )
        self._listener = StreamListener(
            NAME, ground, limits, self._converse, ground.tls(trust), quick=True
        )
        self.listeners: dict[str, Listener] = {}

    @property
    def counters(self) -> Mapping[str, int]:
        """Connections, refusals, failed handshakes, revoked certificates, bytes."""
        return self._listener.counters

    async def __aenter__(self) -> JsonSocket:
        """Open the port."""
        self.listeners[NAME] = await self._listener.open(self._settings.host, self._settings.port)
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close it; what was received is stored first."""
        await self._listener.close()

    def _converse(self, peer: Peer) -> Conversation:
        assert peer.certificate is not None
        return JsonConversation(
            peer,
            peer.certificate[1],
            self._settings.devices.get(peer.certificate[1]),
            self._settings.object_limit,
        )


class JsonConversation:
    """One client on one connection.

    ``owner`` is the name of its certificate: flat fields are metrics of that device, nested
    ones of the device that their key names. ``allowed`` are the devices that it may write, or
    None for all.
    """

    deadline: Final[None] = None

    def __init__(
        self, peer: Peer, owner: str, allowed: Sequence[str] | None, object_limit: int
    ) -> None:
        self._decoder = JsonObjectsDecoder(object_limit)
        self._peer = peer.address
        self._owner = owner
        self._allowed = allowed
        self._acknowledges = peer.protocol == ACKNOWLEDGED
        self._sources: dict[_Key, Source] = {}

    def feed(self, data: bytes, now: int) -> Turn | None:
        """Return what the objects in ``data`` say, device by device."""
        return self._turn(self._decoder.feed(data, now), now)

    def timeout(self, now: int) -> None:
        """Nothing waits for silence."""

    def eof(self, now: int) -> Turn | None:
        """Return the rejected rest of an object that the end of the connection cut off."""
        return self._turn(self._decoder.eof(now), now)

    def _turn(self, found: Sequence[JsonObject | Broken], now: int) -> Turn | None:
        if not found:
            return None
        gathered = _Gathered(now)
        outcomes = _Outcomes()
        for one in found[self._take_alike(found, gathered, outcomes) :]:
            if isinstance(one, JsonObject):
                self._take(one, gathered, outcomes)
            else:
                reason = f"{one.reason} (object at byte {one.offset})"
                gathered.of(self._owner).append(Malformed(one.payload, reason))
                outcomes.add(one.offset, 0, one.reason, ())
        names = list(gathered.others)
        deliveries = [Delivery(self._source(name), gathered.records(name)) for name in names]
        fatal = [one.reason for one in found if isinstance(one, Broken) and one.fatal]

        def answer(receipts: Sequence[Receipt]) -> bytes:
            return outcomes.lines(dict(zip(names, receipts, strict=True)))

        return Turn(deliveries, answer if self._acknowledges else None, fatal[0] if fatal else None)

    def _take_alike(
        self, found: Sequence[JsonObject | Broken], gathered: _Gathered, outcomes: _Outcomes
    ) -> int:
        """Take all objects at once, if they have the same keys and only numbers: mostly so.

        Returns how many were taken. Columns are filled by loops in C, which is twice as fast.
        """
        columns = _columns(found)
        if columns is None:
            return 0
        first = found[0]
        assert isinstance(first, JsonObject)
        self._take(first, gathered, outcomes)
        # Where a name or its device was refused there is no column.
        if not columns.keys() <= gathered.numbers.keys():
            return 1
        for place, values in columns.items():
            gathered.numbers[place].extend(values[1:])
        if self._acknowledges:
            outcomes.repeat(array("q", [one.offset for one in found[1:]]))
        return len(found)

    def _take(self, one: JsonObject, gathered: _Gathered, outcomes: _Outcomes) -> None:
        stored, error = 0, None
        keys: list[_Key] = []
        for outer, value in one.fields.items():
            key, inner = (outer, value) if isinstance(value, dict) else (None, {outer: value})
            keys.append(key)
            appends = gathered.appends[key]
            for metric, plain in inner.items():
                append = appends.get(metric)
                if append is not None and plain is not None and not isinstance(plain, str):
                    append(plain)
                    stored += 1
                    continue
                refused = self._take_value(gathered, key, metric, plain)
                if refused is None:
                    stored += 1
                elif error is None:
                    error = f"{self._owner if key is None else key}.{metric}: {refused}"
        if self._acknowledges:
            outcomes.add(one.offset, stored, error, tuple(keys))

    def _take_value(self, gathered: _Gathered, key: _Key, metric: str, value: Value) -> str | None:
        """Put a text, or the first value of a column; return why it can't be taken, or None."""
        if isinstance(value, str):
            texts = gathered.texts.get((key, metric))
            if texts is not None:
                texts.append(value)
                return None
        # The first value of a column in this read: only now its names are looked at.
        device = self._owner if key is None else key
        owner, reason = key, None
        if self._allowed is not None and device not in self._allowed:
            owner, reason = self._owner, f"certificate {self._owner} may not write {device}"
        elif value is None:
            reason = "the value is null"
        elif not metric or len(metric.encode()) > METRIC_BYTES or not metric.isprintable():
            reason = f"the name of a metric has 1 to {METRIC_BYTES} bytes, all printable"
        if reason is not None:
            gathered.of(owner).append(Malformed(metric.encode()[:METRIC_BYTES], reason))
            return reason
        gathered.begin(key, metric, value)
        return None

    def _source(self, key: _Key) -> Source:
        """Return the source of a device key; by trusting the client the owner vouches for it.

        Mirrors show flat fields elsewhere than nested ones, so the identity tells them apart;
        a device may have both.
        """
        source = self._sources.get(key)
        if source is None:
            name = self._owner if key is None else key
            identity, alias = f"{NAME}:{name}", f"{FLAT}:{name}"
            if key is None:
                identity, alias = alias, identity
            suggested = derived_device_name(name)
            source = Source(NAME, identity, suggested, self._peer, vouched=True, alias=alias)
            self._sources[key] = source
        return source


class _Outcomes:
    """What the objects of one read came to before the hub saw them, and whom they spoke of.

    Kept as columns: under a flood there are many of them, and they wait for the commit.
    """

    def __init__(self) -> None:
        self._offsets = array("q")
        self._stored = array("q")
        self._keys: list[tuple[_Key, ...]] = []
        self._same: dict[tuple[_Key, ...], tuple[_Key, ...]] = {}
        self._errors: dict[int, str] = {}

    def add(self, offset: int, stored: int, error: str | None, keys: tuple[_Key, ...]) -> None:
        """Note the outcome of the next object."""
        if error is not None:
            self._errors[len(self._offsets)] = error
        self._offsets.append(offset)
        self._stored.append(stored)
        self._keys.append(self._same.setdefault(keys, keys))

    def repeat(self, offsets: array[int]) -> None:
        """Note for objects at ``offsets`` what became of the last one, which was without error."""
        self._offsets.extend(offsets)
        self._stored.extend(self._stored[-1:] * len(offsets))
        self._keys += self._keys[-1:] * len(offsets)

    def lines(self, receipts: Mapping[_Key, Receipt]) -> bytes:
        """Return the acknowledgements: a line of JSON for each object."""
        refused = {key: receipt.reason for key, receipt in receipts.items() if not receipt.taken}
        if self._errors or refused:
            return b"".join(self._line_of(n, refused) for n in range(len(self._offsets)))
        return b"".join(map(_stored_line, self._stored))

    def _line_of(self, number: int, refused: Mapping[_Key, str | None]) -> bytes:
        error = self._errors.get(number)
        for key in self._keys[number]:
            if error is None:
                error = refused.get(key)
        if error is None:
            return _stored_line(self._stored[number])
        answer = {"ok": False, "error": error, "offset": self._offsets[number]}
        return msgspec.json.encode(answer) + b"\n"


class _Gathered:
    """What the objects of one read say, as columns by device and metric.

    ``others`` has an entry for every device; in it are the records that are no readings.
    ``appends`` takes the further numbers of a column that has begun, by device and metric.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.appends: defaultdict[_Key, dict[str, Callable[[float], None]]] = defaultdict(dict)
        self.numbers: dict[tuple[_Key, str], array[float]] = {}
        self.texts: dict[tuple[_Key, str], list[str]] = {}
        self.others: dict[_Key, list[Record]] = {}

    def of(self, device: _Key) -> list[Record]:
        """Return the records of ``device`` that are no readings, to append to."""
        return self.others.setdefault(device, [])

    def begin(self, device: _Key, metric: str, value: Value) -> None:
        """Begin a column with its first value."""
        self.of(device)
        if isinstance(value, str):
            self.texts[device, metric] = [value]
        elif value is not None:
            values = self.numbers[device, metric] = array("d", (value,))
            self.appends[device][metric] = values.append

    def records(self, device: _Key) -> list[Record]:
        """Return everything of ``device``, stamped with the time of arrival."""
        found: list[Record] = []
        for (name, metric), values in self.numbers.items():
            if name == device:
                found.append(Samples(metric, "", self._times(len(values)), values, Clock.HUB))
        for (name, metric), texts in self.texts.items():
            if name == device:
                found.append(Texts(metric, self._times(len(texts)), texts, Clock.HUB))
        return found + self.others[device]

    def _times(self, count: int) -> array[int]:
        return array("q", (self._now,)) * count


def _columns(found: Sequence[JsonObject | Broken]) -> dict[tuple[_Key, str], array[float]] | None:
    """Return the values of objects as columns, or None unless all have the same keys and numbers."""
    if len(found) < _FEW or set(map(type, found)) != {JsonObject}:
        return None
    objects = [one.fields for one in found if isinstance(one, JsonObject)]
    columns: dict[tuple[_Key, str], array[float]] = {}
    try:
        for outer in _common_keys(objects):
            values = [fields[outer] for fields in objects]
            inner = [value for value in values if isinstance(value, dict)]
            if not inner:
                columns[None, outer] = array("d", values)  # type: ignore[arg-type]
            elif len(inner) < len(values):
                return None
            else:
                for metric in _common_keys(inner):
                    columns[outer, metric] = array("d", [one[metric] for one in inner])  # type: ignore[misc]
    except (TypeError, _Unlike):
        # A text, null, or an object that has other keys.
        return None
    return columns


class _Unlike(Exception):
    """Objects have not the same keys."""


def _common_keys(objects: Sequence[Mapping[str, object]]) -> tuple[str, ...]:
    """Return the keys of all of the objects.

    Raises:
        _Unlike: they have not the same ones, in the same order.
    """
    shapes = set(map(tuple, objects))
    if len(shapes) > 1:
        raise _Unlike
    return shapes.pop()


@lru_cache(maxsize=256)
def _stored_line(stored: int) -> bytes:
    return b'{"ok":true,"stored":%d}\n' % stored


PART = TransportPart(Settings, JsonSocket)
