"""The plot's time zone is the one asked for, or the machine's."""

from zoneinfo import ZoneInfo

import pytest

from motehub.zones import LOCAL_ZONE_FILE, describe_zone, local_zone

SUMMER = 1_751_328_000 * 1_000_000
DAY = 86_400 * 1_000_000


def test_the_environment_names_the_local_zone(monkeypatch: pytest.MonkeyPatch) -> None:
    """``TZ`` counts before the system's setting, with or without its colon."""
    for value in ("Asia/Kathmandu", ":Asia/Kathmandu"):
        monkeypatch.setenv("TZ", value)
        assert local_zone().key == "Asia/Kathmandu"


def test_a_rule_in_the_environment_falls_back_to_the_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A POSIX rule is no zone of the database, and no error either."""
    monkeypatch.delenv("TZ", raising=False)
    system = local_zone()
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    assert local_zone().key == system.key
    if not LOCAL_ZONE_FILE.exists():
        assert system.key == "UTC"


def test_offsets_of_an_odd_zone_are_named() -> None:
    """Quarter hours are written out, and a zone without summer time has one offset."""
    text = describe_zone(ZoneInfo("Asia/Kathmandu"), SUMMER, SUMMER + 365 * DAY)
    assert text == "Asia/Kathmandu, UTC+05:45"
