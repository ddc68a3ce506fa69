"""The mutual-TLS port for streams of JSON objects; ``docs/protocols/json-socket.md``."""

from __future__ import annotations

from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TransportPart
from motehub.conversations import Channel, ConnectionLimits, Conversation, Peer, Turn
from motehub.listening import StreamListener
from motehub.model import (
    Delivery,
    Malformed,
    Receipt,
    Source,
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
from motehub.transports._json_socket_columns import Gathered, Key, Outcomes, Place, columns_of

NAME = "json_socket"

ACKNOWLEDGED: Final = "motehub-ack/1"
"""ALPN protocol (RFC 7301) of clients that want a line back for each object."""

FLAT: Final = f"{NAME}.flat"
"""Beginning of the identity of a device that is known by flat objects of its certificate."""

METRIC_BYTES: Final = 128
"""Longest name of a metric in UTF-8 bytes."""


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

    def _converse(self, peer: Peer, _: Channel) -> Conversation:
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
        self._sources: dict[Key, Source] = {}

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
        gathered = Gathered(now)
        outcomes = Outcomes()
        for one in found[self._take_alike(found, gathered, outcomes) :]:
            if isinstance(one, JsonObject):
                self._take(one, gathered, outcomes)
            else:
                reason = f"{one.reason} (object at byte {one.offset})"
                gathered.of(self._owner).append(Malformed(one.payload, reason))
                outcomes.add(one.offset, one.reason, ())
        names = list(gathered.others)
        deliveries = [Delivery(self._source(name), gathered.records(name)) for name in names]
        fatal = [one.reason for one in found if isinstance(one, Broken) and one.fatal]

        def answer(receipts: Sequence[Receipt]) -> bytes:
            by_device = dict(zip(names, receipts, strict=True))
            return outcomes.lines(gathered.refusals(by_device))

        return Turn(deliveries, answer if self._acknowledges else None, fatal[0] if fatal else None)

    def _take_alike(
        self, found: Sequence[JsonObject | Broken], gathered: Gathered, outcomes: Outcomes
    ) -> int:
        """Take all objects at once, if they have the same keys and only numbers: mostly so.

        Returns how many were taken. Columns are filled by loops in C, which is twice as fast.
        """
        columns = columns_of(found)
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

    def _take(self, one: JsonObject, gathered: Gathered, outcomes: Outcomes) -> None:
        error = None
        places: list[Place] = []
        for outer, value in one.fields.items():
            key, inner = (outer, value) if isinstance(value, dict) else (None, {outer: value})
            appends = gathered.appends[key]
            for metric, plain in inner.items():
                append = appends.get(metric)
                if append is not None and plain is not None and not isinstance(plain, str):
                    append(plain)
                    places.append((key, metric, False))
                    continue
                refused = self._take_value(gathered, key, metric, plain)
                if refused is None:
                    places.append((key, metric, isinstance(plain, str)))
                elif error is None:
                    error = f"{self._owner if key is None else key}.{metric}: {refused}"
        if self._acknowledges:
            outcomes.add(one.offset, error, tuple(places))

    def _take_value(self, gathered: Gathered, key: Key, metric: str, value: Value) -> str | None:
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

    def _source(self, key: Key) -> Source:
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


PART = TransportPart(Settings, JsonSocket)
