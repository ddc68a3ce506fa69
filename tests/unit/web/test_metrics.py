"""The condition of the hub as Prometheus reads it."""

from __future__ import annotations

from typing import Any

from motehub.http_exchange import Request
from motehub.model import Scope, Token
from motehub.web.metrics import Metrics

TOKEN = Token("prometheus", b"", (Scope.READ,), (), 0, None)


def condition(**more: Any) -> dict[str, Any]:
    """How a consumer is that is well."""
    return {"behind": 0, "age": 0.0, "restarts": 0, "trouble": None, "undelivered": [], **more}


def metrics(**consumers: dict[str, Any]) -> list[str]:
    """The lines of the answer."""
    journal = {"size": 1, "head": 2, "held_back": None, "commits": 3}
    health = {"journal": journal, "consumers": consumers, "devices_pending": 0, "transports": {}}
    made = Metrics(lambda _secret, _now: TOKEN, lambda: 0, lambda: health)
    request = Request("GET", "/metrics", b"", {b"authorization": b"Bearer x"}, b"", "192.0.2.1")
    answer = made.answer(request)
    assert answer.status == 200
    return answer.body.decode().splitlines()


def test_a_journal_that_cant_be_read_leaves_the_other_numbers() -> None:
    """How long something has waited is not known then."""
    found = metrics(history=condition(age=None, behind=7, trouble="the disk fails"))
    assert 'motehub_consumer_behind_frames{consumer="history"} 7.0' in found
    assert 'motehub_consumer_in_trouble{consumer="history"} 1.0' in found
    assert not [one for one in found if one.startswith("motehub_consumer_age_seconds{")]


def test_what_does_not_arrive_is_counted() -> None:
    """For each consumer that tells others."""
    reason = {"kind": "channel", "name": "mail", "reason": "it is away"}
    found = metrics(alerts=condition(undelivered=[reason]), history=condition())
    assert 'motehub_consumer_undelivered{consumer="alerts"} 1.0' in found
    assert 'motehub_consumer_undelivered{consumer="history"} 0.0' in found
