"""The mutual-TLS port for streams of JSON objects; ``docs/protocols/json-socket.md``."""

from __future__ import annotations

import hashlib
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.contracts import ClientTrust, Ground, Listener, TransportPart
from motehub.conversations import ConnectionLimits, Conversation, Peer, Turn
from motehub.errors import InvalidName
from motehub.listening import StreamListener
from motehub.model import (
    NAME_BYTES,
    Clock,
    Delivery,
    Malformed,
    Receipt,
    Record,
    Samples,
    Source,
    Texts,
    check_device_name,
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
        self._sources: dict[str, Source] = {}

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
        outcomes = [self._take(one, gathered) for one in found]
        names = list(gathered.others)
        deliveries = [Delivery(self._source(name), gathered.records(name)) for name in names]
        fatal = [one.reason for one in found if isinstance(one, Broken) and one.fatal]

        def answer(receipts: Sequence[Receipt]) -> bytes:
            by_name = dict(zip(names, receipts, strict=True))
            return b"".join(_line(outcome, by_name) for outcome in outcomes)

        return Turn(deliveries, answer if self._acknowledges else None, fatal[0] if fatal else None)

    def _take(self, one: JsonObject | Broken, gathered: _Gathered) -> _Outcome:
        if isinstance(one, Broken):
            reason = f"{one.reason} (object at byte {one.offset})"
            gathered.of(self._owner).append(Malformed(one.payload, reason))
            return _Outcome(one.offset, 0, one.reason, ())
        stored, error = 0, None
        devices = []
        for key, value in one.fields.items():
            name, inner = (key, value) if isinstance(value, dict) else (self._owner, {key: value})
            devices.append(name)
            for metric, plain in inner.items():
                refused = self._take_value(gathered, name, metric, plain)
                if refused is None:
                    stored += 1
                elif error is None:
                    error = f"{name}.{metric}: {refused}"
        return _Outcome(one.offset, stored, error, devices)

    def _take_value(
        self, gathered: _Gathered, device: str, metric: str, value: Value
    ) -> str | None:
        """Put a value into its column; return why it can't be taken, or None."""
        if isinstance(value, str):
            texts = gathered.texts.get((device, metric))
            if texts is not None:
                texts.append(value)
                return None
        elif value is not None:
            numbers = gathered.numbers.get((device, metric))
            if numbers is not None:
                numbers.append(value)
                return None
        # The first value of a column in this read: only now its names are looked at.
        owner, reason = device, None
        if self._allowed is not None and device not in self._allowed:
            owner, reason = self._owner, f"certificate {self._owner} may not write {device}"
        elif value is None:
            reason = "the value is null"
        elif not metric or len(metric.encode()) > METRIC_BYTES or not metric.isprintable():
            reason = f"the name of a metric has 1 to {METRIC_BYTES} bytes, all printable"
        if reason is not None:
            gathered.of(owner).append(Malformed(metric.encode()[:METRIC_BYTES], reason))
            return reason
        gathered.begin(device, metric, value)
        return None

    def _source(self, key: str) -> Source:
        """Return the source of a device key; by trusting the client the owner vouches for it."""
        source = self._sources.get(key)
        if source is None:
            source = Source(NAME, f"{NAME}:{key}", device_name(key), self._peer, vouched=True)
            self._sources[key] = source
        return source


class _Outcome(msgspec.Struct, frozen=True):
    """What an object came to before the hub saw it, and whom it spoke of."""

    offset: int
    stored: int
    error: str | None
    devices: Sequence[str]


class _Gathered:
    """What the objects of one read say, as columns by device and metric.

    ``others`` has an entry for every device; in it are the records that are no readings.
    """

    def __init__(self, now: int) -> None:
        self._now = now
        self.numbers: dict[tuple[str, str], array[float]] = {}
        self.texts: dict[tuple[str, str], list[str]] = {}
        self.others: dict[str, list[Record]] = {}

    def of(self, device: str) -> list[Record]:
        """Return the records of ``device`` that are no readings, to append to."""
        return self.others.setdefault(device, [])

    def begin(self, device: str, metric: str, value: Value) -> None:
        """Begin a column with its first value."""
        self.of(device)
        if isinstance(value, str):
            self.texts[device, metric] = [value]
        elif value is not None:
            self.numbers[device, metric] = array("d", (value,))

    def records(self, device: str) -> list[Record]:
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


def _line(outcome: _Outcome, receipts: Mapping[str, Receipt]) -> bytes:
    """Return the acknowledgement of one object: a line of JSON."""
    error = outcome.error
    for device in outcome.devices:
        receipt = receipts.get(device)
        if error is None and receipt is not None and not receipt.taken:
            error = receipt.reason
    if error is None:
        return b'{"ok":true,"stored":%d}\n' % outcome.stored
    answer = {"ok": False, "error": error, "offset": outcome.offset}
    return msgspec.json.encode(answer) + b"\n"


def device_name(key: str) -> str:
    """Return the name that a device begins with: its key, where that may be one.

    Another key gets a name of its own, from what of it is allowed and a few digits that
    differ for every key.
    """
    try:
        return check_device_name(key)
    except InvalidName:
        digits = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:6]
        plain = "".join(c if c.isalnum() or c in "-_." else "_" for c in key)
        return f"{plain.encode()[: NAME_BYTES - 7].decode('utf-8', 'ignore')}-{digits}"


PART = TransportPart(Settings, JsonSocket)
