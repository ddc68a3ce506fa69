"""For how long readings and rollups are kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from motehub.core.retention import Choice, Plan, Retention, RetentionSettings, Rule, budget_of
from motehub.errors import OwnerError
from motehub.frames import Batch
from motehub.model import Admission, Device, Series
from motehub.rollups import NEVER, Kept

DAY = 86_400_000_000
NOW = 20_000 * DAY
DEVICE = Device(7, "a", "x", ("i",), Admission.ACCEPTED, 5)
SERIES = [Series(1, 7, "t", ""), Series(2, 7, "u", ""), Series(3, 8, "t", "")]


def limits(retention: Retention) -> list[Kept]:
    return [kept for _, kept in retention.limits(SERIES, NOW)]


def test_a_metric_goes_before_its_device_and_that_before_all_others() -> None:
    """What a rule leaves out is in the next one; what is coarser is kept at least as long."""
    retention = Retention(Plan(Rule("10d", "20d", "forever", "forever")), {})
    batch = Batch()
    retention.set(batch, DEVICE, "", Rule(raw="5d"))
    retention.set(batch, DEVICE, "t", Rule(minute="30d", hour="1d"))
    retention.set(batch, DEVICE, "u", Rule(raw="40d"))
    assert limits(retention) == [
        Kept(NOW - 5 * DAY, NOW - 30 * DAY, NOW - 30 * DAY, NEVER),
        Kept(NOW - 40 * DAY, NOW - 40 * DAY, NEVER, NEVER),
        Kept(NOW - 10 * DAY, NOW - 20 * DAY, NEVER, NEVER),
    ]


def test_rules_outlive_the_hub_and_go_with_the_device() -> None:
    """They are state of the journal; an empty rule takes one away."""
    plan = Plan(Rule("10d", "20d", "forever", "forever"))
    retention, batch = Retention(plan, {}), Batch()
    retention.set(batch, DEVICE, "t", Rule(raw="forever"))
    retention.set(batch, DEVICE, "", Rule(day="9y"))
    state = {key: value for key, value in batch.state.items() if value is not None}
    again = Retention.from_state(plan, state | {"else": b"x"})
    assert again.of_device(7) == {"t": Rule(raw="forever"), "": Rule(day="9y")}
    again.set(batch, DEVICE, "t", Rule())
    assert again.of_device(7) == {"": Rule(day="9y")}
    again.forget(batch, DEVICE)
    assert batch.state == {"retention:7": None}
    assert again.of_device(7) == {}


def test_a_choice_holds_over_the_configuration() -> None:
    """Under the rules of devices, tier by tier, and across restarts, until it is taken back."""
    file = Plan(Rule("10d", "20d", "forever", "forever"), 2**30, archive=True)
    retention, batch = Retention(file, {}), Batch()
    retention.set(batch, DEVICE, "t", Rule(raw="5d"))
    retention.choose(batch, Choice(Rule(minute="30d"), "2 GB", "marie", NOW))
    state = {key: value for key, value in batch.state.items() if value is not None}
    again = Retention.from_state(file, state)
    assert again.choice == Choice(Rule(minute="30d"), "2 GB", "marie", NOW)
    rule = Rule("10d", "30d", "forever", "forever")
    assert again.plan == Plan(rule, 2 * 10**9, archive=True)
    assert again.rule(7, "t") == Rule("5d", "30d", "forever", "forever")
    trial = again.copy()
    trial.choose(Batch(), Choice(disk_budget="none"))
    trial.set(Batch(), DEVICE, "t", Rule())
    assert trial.plan == Plan(file.rule, None, archive=True)
    assert again.plan.disk_budget == 2 * 10**9
    assert again.of_device(7) == {"t": Rule(raw="5d")}
    again.choose(batch, Choice())
    assert again.plan == file
    assert batch.state["retention of all"] is None
    assert Retention.from_state(file, {}).choice == Choice()


@pytest.mark.parametrize("budget", ["", "all", "-1 GB", "0", "10", "10 potatoes"])
def test_what_is_no_disk_budget(budget: str) -> None:
    """The message says what may be written, and what held before still does."""
    retention = Retention(Plan(), {})
    with pytest.raises(OwnerError, match=r"disk_budget: .*none"):
        retention.choose(Batch(), Choice(disk_budget=budget))
    assert retention.plan == Plan()


@pytest.mark.parametrize("period", ["", "-1d", "soon", "0", "30", "1.5 ", "for ever"])
def test_what_is_no_period(period: str) -> None:
    """The message names the tier and what may be written."""
    with pytest.raises(OwnerError, match=r"hour: .*forever"):
        Rule(hour=period).check()


@pytest.mark.parametrize(
    ("said", "comes"),
    [
        (("30d", "1d", "7d", "1y"), ("30d", "30d", "30d", "1y")),
        (("forever", "1d", "2y", "1y"), ("forever",) * 4),
        (("24h", "1d", "2d", "forever"), ("24h", "24h", "2d", "forever")),
        (("7d", None, "1d", None), ("7d", None, "7d", None)),
        ((None, "2d", "1d", None), (None, "2d", "2d", None)),
    ],
)
def test_sums_are_kept_as_long_as_what_they_are_of(
    said: tuple[str | None, ...], comes: tuple[str | None, ...]
) -> None:
    """What people are shown is what comes of a rule."""
    assert Rule(*said).in_effect == Rule(*comes)


def test_a_file_may_say_seconds() -> None:
    """It did from the beginning; whoever types a number elsewhere means days, and is asked."""
    assert RetentionSettings(raw="2592000").plan.rule.raw == "2592000"
    with pytest.raises(ValueError, match="soon"):
        RetentionSettings(raw="soon")


def test_a_period_beyond_all_times_is_for_ever(tmp_path: Path) -> None:
    """No arithmetic of times overflows."""
    rule = Rule("1000000y", "1000000y", "1000000y", "1000000y")
    assert limits(Retention(Plan(rule), {})) == [Kept()] * 3
    assert (budget_of(""), budget_of("1 GiB")) == (None, 2**30)
