"""What a courier makes of answers."""

from __future__ import annotations

import pytest

from motehub.http_client import Answer, NoAnswer
from motehub.webhooks.courier import retry_after, with_excerpt

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
