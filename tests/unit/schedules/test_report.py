"""Reports as they are said and kept."""

from __future__ import annotations

from typing import Any

import pytest

from motehub.errors import InvalidReport
from motehub.schedules.report import decode, encode, report_of, to_fields

SAID: dict[str, Any] = {"name": "Weekly", "schedule": "0 7 * * 1"}


def test_a_report_is_kept_as_it_was_said() -> None:
    """Limits that are none too."""
    report = report_of({**SAID, "metrics": ["temperature"], "above": 30, "period": "week"})
    assert decode(encode(report)) == report
    assert to_fields(report)["below"] is None
    assert not report_of({"above": None}, report).has_limits
    assert report_of({"csv": True}, report).csv


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": ""},
        {"name": "a/b"},
        {"name": " x"},
        {"name": "a\nb"},
        {"schedule": "never"},
        {"time_zone": "Mars/Base"},
        {"recipients": ["nobody"]},
        {"recipients": ["a@b\r\nBcc: c@d"]},
        {"recipients": ["a@b", "a@b"]},
        {"recipients": [f"a{n}@b" for n in range(101)]},
        {"devices": [""]},
        {"metrics": ["x" * 201]},
        {"above": 5},
        {"above": 5, "metrics": ["a", "b"]},
        {"above": 5, "below": 6, "metrics": ["a"]},
        {"period": "year"},
        {"colour": "red"},
    ],
)
def test_what_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    """With what is wrong."""
    with pytest.raises(InvalidReport):
        report_of({**SAID, **wrong})


def test_what_a_report_is_about() -> None:
    """Names may have wild cards, and one label is enough."""
    report = report_of({**SAID, "devices": ["freezer*"], "labels": ["cold"], "metrics": ["temp*"]})
    assert report.is_about("freezer1", ("cold", "old"))
    assert not report.is_about("freezer1", ())
    assert not report.is_about("oven", ("cold",))
    assert report.has_metric("temperature")
    assert not report.has_metric("humidity")
    assert report_of(SAID).is_about("anything", ())
