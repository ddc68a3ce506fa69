"""What a courier makes of answers."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
from tests.receivers import Receiver
from tests.webhook_hub import SECRET

from motehub.errors import StorageError
from motehub.http_client import Answer, NoAnswer
from motehub.webhooks.courier import Courier, retry_after, with_excerpt
from motehub.webhooks.endpoints import Endpoint
from motehub.webhooks.outbox import Message, Outbox

HOUR = 3_600.0


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("", None),
        ("0", 0.0),
        ("120", 120.0),
        ("3601", HOUR),
        ("999999999", HOUR),
        ("9" * 5_000, HOUR),
        ("-1", None),
        ("1e9", None),
        ("soon", None),
        ("Thu, 01 Jan 1970 00:02:00 GMT", 20.0),
        ("Thu, 01 Jan 1970 00:00:00 GMT", 0.0),
        ("Fri, 31 Dec 9999 23:59:59 GMT", HOUR),
        ("Fri, 31 Dec 99999 23:59:59 GMT", None),
    ],
)
def test_a_receiver_puts_a_message_off_for_an_hour_at_most(
    text: str, seconds: float | None
) -> None:
    """In seconds or as a time; what makes no sense is no wish."""
    assert retry_after(Answer(503, {"retry-after": text}, b""), 100.0) == seconds


def test_no_answer_asks_for_nothing() -> None:
    """Only an answer can."""
    assert retry_after(NoAnswer("away"), 100.0) is None


def test_what_a_receiver_says_is_shown_in_part() -> None:
    """On one line, and not more than its beginning."""
    shown = with_excerpt(Answer(500, {}, b"<h1>\r\n  no </h1>" + b"x" * 65_536))
    assert shown.startswith("it answers 500 Internal Server Error: <h1> no </h1>xxx")
    assert len(shown) < 300


def test_a_fault_of_the_disk_while_an_endpoint_is_tried_again_is_no_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever could not look for a message comes again."""
    with Receiver() as receiver:
        receiver.behave = lambda _: 500
        endpoint = Endpoint("a", receiver.url, (SECRET,), retries=(0.01,) * 9)
        outbox = Outbox(tmp_path / "webhooks.db")
        number = outbox.register([("a", receiver.url, "general")])["a"]
        with outbox.taking("j", 1, 1) as taking:
            taking.add(number, 9, "t", b"{}")
        next_due = outbox.next_due
        failures: list[int] = []

        def fail_once(endpoint: int, now: int) -> Message | int | None:
            if receiver.received and not failures:
                failures.append(now)
                receiver.behave = lambda _: 200
                raise StorageError("the disk failed")
            return next_due(endpoint, now)

        monkeypatch.setattr(outbox, "next_due", fail_once)
        courier = Courier(outbox, number, endpoint, lambda: time.time_ns() // 1000)
        courier.start()
        receiver.wait(2)
        courier.stop()
        courier.join()
        outbox.close()
        assert failures
