"""``motehub retention``: for how long readings and their sums are kept."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from motehub.cli.options import Format, data_option, format_option

if TYPE_CHECKING:
    from motehub.core.registry import Registry
    from motehub.core.retention import Retention

NAMES: Final = {
    "raw": "Readings",
    "minute": "Sums by minute",
    "hour": "Sums by hour",
    "day": "Sums by day",
}
CHOICES: Final = (*NAMES, "disk_budget")
COLUMNS: Final = ("device", "metric", *NAMES)


@click.group("retention")
def group() -> None:
    """Show and set for how long readings and their sums are kept."""


@group.command()
@data_option
@format_option
def show(data: Path, format_: Format) -> None:
    """Show all rules; the one without a device holds for all others."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows
    from motehub.retention_requests import ShowRetention

    found = tell_hub(data, ShowRetention())
    rows = [{"device": None, "metric": None, **found["default"]}, *found["rules"]]
    print_rows(COLUMNS, rows, format_, empty="")
    if found["disk_budget"] is not None:
        click.echo(f"Disk budget: {found['disk_budget']:,} bytes.", err=True)
    if (chosen := found["chosen"]) is not None:
        said = ", ".join(f"{key} {chosen[key]}" for key in CHOICES if chosen[key])
        click.echo(
            f"Set over the configuration by {chosen['who'] or 'somebody'} at {chosen['time']}: "
            f"{said}. 'motehub retention set-all' takes that back.",
            err=True,
        )


@group.command("set")
@click.argument("device")
@click.argument("metric", required=False)
@click.option("--raw", metavar="PERIOD", help="The readings themselves: 30d, 2y, forever.")
@click.option("--minute", metavar="PERIOD", help="Their sums by minute.")
@click.option("--hour", metavar="PERIOD", help="Their sums by hour.")
@click.option("--day", metavar="PERIOD", help="Their sums by day.")
@click.option("--yes", is_flag=True, help="Don't ask, whatever is deleted.")
@data_option
def set_(
    device: str,
    metric: str | None,
    raw: str | None,
    minute: str | None,
    hour: str | None,
    day: str | None,
    yes: bool,
    data: Path,
) -> None:
    """Keep readings of a DEVICE, or of one METRIC of it, for so long.

    What is not given is as of the device, or as of all others; without any option the rule goes.
    Asks first where that deletes something.
    """
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.core.retention import Rule
    from motehub.frames import Batch
    from motehub.retention_requests import SetRetention

    rule = Rule(raw, minute, hour, day)
    if not yes:
        _ask_about(
            data,
            lambda after, registry: after.set(
                Batch(), registry.by_name(device), metric or "", rule
            ),
        )
    tell_hub(data, SetRetention(device, metric, rule))
    whose = f"{metric} of {device}" if metric else device
    if rule == Rule():
        click.echo(f"{shown(whose)} has no rule of its own any more.")
    else:
        click.echo(f"{shown(whose)} has a rule of its own: 'motehub retention show'.")


@group.command("set-all")
@click.option("--raw", metavar="PERIOD", help="The readings themselves: 30d, 2y, forever.")
@click.option("--minute", metavar="PERIOD", help="Their sums by minute.")
@click.option("--hour", metavar="PERIOD", help="Their sums by hour.")
@click.option("--day", metavar="PERIOD", help="Their sums by day.")
@click.option("--disk-budget", metavar="SIZE", help="Most bytes of the history: '10 GB', none.")
@click.option("--yes", is_flag=True, help="Don't ask, whatever is deleted.")
@data_option
def set_all(
    raw: str | None,
    minute: str | None,
    hour: str | None,
    day: str | None,
    disk_budget: str | None,
    yes: bool,
    data: Path,
) -> None:
    """Keep what has no rule of its own for so long, whatever the configuration says.

    What is not given is as the configuration says; without any option all of it is again. Asks
    first where that deletes something.
    """
    from motehub.cli.opening import tell_hub
    from motehub.core.retention import Choice, Rule
    from motehub.frames import Batch
    from motehub.retention_requests import SetRetentionOfAll

    rule = Rule(raw, minute, hour, day)
    choice = Choice(rule, disk_budget).check()
    if not yes:
        _ask_about(data, lambda after, _: after.choose(Batch(), choice))
    tell_hub(data, SetRetentionOfAll(rule, disk_budget))
    if choice.says_something:
        click.echo("Set over the configuration: 'motehub retention show'.")
    else:
        click.echo("Everything is kept as the configuration says.")


def _ask_about(data: Path, change: Callable[[Retention, Registry], None]) -> None:
    """Ask whether to go on with ``change``, where that deletes something.

    Raises:
        Abort: the answer is no, or there is none.
    """
    if lost := _lost(data, change):
        click.confirm(f"{lost} Go on?", abort=True)


def _lost(data: Path, change: Callable[[Retention, Registry], None]) -> str:
    """Return in words what ``change`` deletes; nothing where it deletes nothing."""
    from motehub.cli.opening import history_of, tell_hub
    from motehub.core.going import going
    from motehub.core.registry import Registry
    from motehub.core.retention import Plan, Retention, Rule
    from motehub.core.steps import drain
    from motehub.journals.sqlite import SqliteLogReader
    from motehub.retention_requests import ShowRetention
    from motehub.storage import utc_microseconds

    said = tell_hub(data, ShowRetention())["configured"]
    rule = Rule(*(said[tier] for tier in NAMES))
    configured = Plan(rule, said["disk_budget"], said["archive"])
    with closing(SqliteLogReader(data)) as reader:
        state = reader.state()
    present = Retention.from_state(configured, state)
    after = present.copy()
    change(after, Registry.from_state(state))
    with history_of(data) as (store, _):
        found = drain(going(store, present, after, utc_microseconds()))
    sentences = []
    for one in found.going:
        count = f", about {one.readings:,}" if one.tier == "raw" else ""
        what = "are moved to the archive" if one.tier == "raw" and found.archived else "are deleted"
        sentences.append(f"{NAMES[one.tier]} before {one.before} {what}{count}.")
    if found.excess is not None:
        sentences.append(f"The oldest readings go: {found.excess:,} bytes are too much.")
    return " ".join(sentences)


@group.command("confirm-clock")
@data_option
def confirm_clock(data: Path) -> None:
    """Say that the clock of the hub's machine is right.

    A hub whose clock has jumped ahead, or that was away for long, deletes nothing by age for a
    day; this ends that. If the clock is wrong, set it right instead.
    """
    from motehub.cli.opening import tell_hub
    from motehub.retention_requests import ConfirmClock

    clock = tell_hub(data, ConfirmClock())["clock"]
    click.echo(f"It is {clock}: what is old by that is deleted from now on.")
