"""``GET /metrics``: the condition of the hub in Prometheus' text form."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from motehub.http_exchange import Request, Response, problem
from motehub.model import Scope
from motehub.web.access import FindToken, secret_of

_TYPE: Final = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


class Metrics(Collector):
    """Answers with the numbers of ``health``, for tokens with the scope read."""

    def __init__(
        self, find: FindToken, clock: Callable[[], int], health: Callable[[], Mapping[str, Any]]
    ) -> None:
        self._find = find
        self._clock = clock
        self._health = health
        # A registry of its own: the default one also tells of the interpreter.
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def answer(self, request: Request) -> Response:
        """Return all metrics."""
        secret = secret_of(request.headers)
        token = self._find(secret, self._clock()) if secret else None
        if token is None:
            detail = "Send a token with the scope read: Authorization: Bearer TOKEN."
            challenge = (b"www-authenticate", b"Bearer")
            return problem(401, "Not authorised", detail, challenge)
        if not token.allows(Scope.READ) or token.devices:
            detail = f"The token {token.name} has no scope read, or is bound to devices."
            return problem(403, "Not allowed", detail)
        return Response(200, (_TYPE,), generate_latest(self._registry))

    def describe(self) -> list[Metric]:
        """Say nothing in advance: the names depend on which parts run."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Yield every metric with its present value."""
        health = self._health()
        yield from _journal(health["journal"])
        yield from _consumers(health["consumers"])
        waiting = GaugeMetricFamily("motehub_devices_pending", "Devices that wait for the owner.")
        waiting.add_metric([], health["devices_pending"])
        yield waiting
        events = CounterMetricFamily(
            "motehub_transport_events",
            "What happened on a listener: connections, refusals, bytes.",
            labels=["transport", "event"],
        )
        for transport, counters in health["transports"].items():
            for event, count in counters.items():
                events.add_metric([transport, event], count)
        yield events


def _journal(journal: Mapping[str, Any]) -> Iterator[Metric]:
    for name, text, value in (
        ("size_bytes", "Bytes of frames that are kept.", journal["size"]),
        ("head", "Position of the newest frame.", journal["head"]),
        ("held_back", "1 while senders are held back.", int(journal["held_back"] is not None)),
    ):
        gauge = GaugeMetricFamily(f"motehub_journal_{name}", text)
        gauge.add_metric([], value)
        yield gauge
    commits = CounterMetricFamily("motehub_journal_commits", "Frames made durable.")
    commits.add_metric([], journal["commits"])
    yield commits


def _consumers(consumers: Mapping[str, Mapping[str, Any]]) -> Iterator[Metric]:
    for name, text in (
        ("behind", "Frames that a consumer has not taken yet."),
        ("age", "Seconds that the oldest of these has waited."),
        ("restarts", "How often the consumer's process was started again."),
    ):
        suffix = {"age": "age_seconds", "behind": "behind_frames"}.get(name, name)
        gauge = GaugeMetricFamily(f"motehub_consumer_{suffix}", text, labels=["consumer"])
        for consumer, condition in consumers.items():
            # The age is not known while the journal can't be read.
            if condition[name] is not None:
                gauge.add_metric([consumer], condition[name])
        yield gauge
    trouble = GaugeMetricFamily(
        "motehub_consumer_in_trouble", "1 while a consumer can't store.", labels=["consumer"]
    )
    for consumer, condition in consumers.items():
        trouble.add_metric([consumer], int(condition["trouble"] is not None))
    yield trouble
    undelivered = GaugeMetricFamily(
        "motehub_consumer_undelivered",
        "Channels, reports or webhooks of a consumer that don't get through at the moment.",
        labels=["consumer"],
    )
    for consumer, condition in consumers.items():
        undelivered.add_metric([consumer], len(condition["undelivered"]))
    yield undelivered
