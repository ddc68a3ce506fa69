"""What messages come to, in a form that is easy to compare."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from motehub.model import Clock, Joined, Left, Malformed, Samples, Texts
from motehub.mqtt_meaning.gathering import Client, Gathered
from motehub.mqtt_meaning.meanings import Meanings
from motehub.protocols.mqtt.packets import Publish

NOW = 1_795_215_909_000_000
FRIEND = Client("mqtt_broker", "192.0.2.7:4711", vouched=True, may_write=lambda device: True)
REMOTE = Client(
    "mqtt_client", "broker.example", vouched=True, may_write=lambda device: True, subscription=True
)


def publish(
    meanings: Meanings, *messages: tuple[Any, ...], client: Client = FRIEND, now: int = NOW
) -> Gathered:
    """Gather messages given as (topic, payload, QoS, RETAIN), of which the last two may miss."""
    return meanings.gather(
        [Publish(one[0], one[1].encode() if isinstance(one[1], str) else one[1], *one[2:])
         for one in messages],
        client,
        now,
    )  # fmt: skip


def readings(gathered: Gathered) -> dict[tuple[str, str, str], list[float] | list[str]]:
    """Return the values by device, metric and unit; all of them must be stamped by the hub."""
    found: dict[tuple[str, str, str], Any] = {}
    for device, record in _records(gathered):
        if isinstance(record, Samples | Texts):
            assert record.clock is Clock.HUB
            unit = record.unit if isinstance(record, Samples) else ""
            found.setdefault((device, record.metric, unit), []).extend(record.values)
    return found


def dated(gathered: Gathered) -> dict[tuple[str, str], list[int]]:
    """Return the times by device and metric of what devices have stamped."""
    return {
        (device, record.metric): list(record.times)
        for device, record in _records(gathered)
        if isinstance(record, Samples | Texts) and record.clock is Clock.DEVICE
    }


def presence(gathered: Gathered) -> list[tuple[str, bool]]:
    """Return who came online or went offline, in order."""
    return [
        (device, isinstance(record, Joined))
        for device, record in _records(gathered)
        if isinstance(record, Joined | Left)
    ]


def rejected(gathered: Gathered) -> list[str]:
    """Return the reasons of what was not taken."""
    return [record.reason for _, record in _records(gathered) if isinstance(record, Malformed)]


def _records(gathered: Gathered) -> Sequence[tuple[str, Any]]:
    return [
        (delivery.source.identity.removeprefix("mqtt:"), record)
        for delivery in gathered.deliveries
        for record in delivery.records
    ]
