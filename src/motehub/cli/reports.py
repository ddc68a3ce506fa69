"""``motehub report`` and ``motehub reports``: mails at set times about what devices said."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from motehub.cli.options import (
    Format,
    about_devices,
    data_option,
    format_option,
    given_fields,
    limit_option,
    with_options,
)
from motehub.errors import OwnerError

if TYPE_CHECKING:
    from motehub.alerting.report_desk import Outcome

COLUMNS: Final = (
    "name",
    "schedule",
    "time_zone",
    "recipients",
    "devices",
    "metrics",
    "period",
    "enabled",
    "origin",
    "last",
    "result",
    "waiting",
)
FURTHER_COLUMNS: Final = ("language", "labels", "charts", "csv", "left")
LETTER_COLUMNS: Final = (
    "report",
    "recipient",
    "created",
    "state",
    "attempts",
    "ended",
    "trouble",
)
# Longest wait for a report that is sent, and how often its result is looked for.
_MADE_SECONDS: Final = 10.0
_LOOK_SECONDS: Final = 0.1


@click.command()
@click.argument("name")
@click.option("--since", metavar="TIME", help="'7d', a date or an ISO 8601 time; else as usual.")
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write an .html, .pdf or .txt file instead of text on the screen.",
)
@click.option(
    "--time-zone",
    metavar="ZONE",
    help="Zone of its times, if it has none of its own; else that of the running hub.",
)
@data_option
def report(
    name: str, since: str | None, output: Path | None, time_zone: str | None, data: Path
) -> None:
    """Make the report NAME about the time until now, without sending it."""
    import time

    from motehub.cli.opening import configuration_of, history_of, parse_since, tell_hub
    from motehub.cli.printing import warn_incomplete
    from motehub.following import STORE_URL
    from motehub.model import MICROSECONDS
    from motehub.report_requests import ListReports
    from motehub.reports.order import FORMATS, Order, make
    from motehub.schedules.report import encode, report_of
    from motehub.schedules.times import usual_period
    from motehub.zones import zone_of

    wants = "txt" if output is None else output.suffix.lower().removeprefix(".")
    if wants not in FORMATS:
        raise click.UsageError("A report is written as .html, .pdf or .txt: end the file in one.")
    there = {one["name"]: one for one in tell_hub(data, ListReports())["reports"]}
    if name not in there:
        known = ", ".join(sorted(there)[:10]) or "none yet"
        raise OwnerError(f"There is no report called {name!r}. Known reports: {known}.")
    said = {k: v for k, v in there[name].items() if k not in ("origin", "left")}
    found = report_of(said)
    name_of_hub, zone_of_hub, language = _hub_of(data)
    zone = found.time_zone or time_zone or zone_of_hub
    now = time.time_ns() // 1000
    span = usual_period(found.period, found.schedule, zone_of(zone), now)
    if since is not None:
        span = parse_since(since), now
        if span[0] >= now:
            raise click.BadParameter("must be in the past", param_hint="--since")
    with history_of(data):
        # What was acknowledged is in the history then, whether a hub runs or not.
        pass
    store = configuration_of(data).store
    order = Order(
        str(data),
        store.type,
        encode(found),
        *span,
        zone=zone,
        hub=name_of_hub,
        wants=wants,
        language=language,
    )
    made = make(order, {STORE_URL: store.url})
    warn_incomplete(made.complete)
    if output is None:
        click.echo(made.content.decode(), nl=False)
        return
    try:
        output.write_bytes(made.content)
    except OSError as error:
        raise OwnerError(f"Can't write {output}: {error.strerror}.") from error
    days = (span[1] - span[0]) / MICROSECONDS / 86_400
    click.echo(f"Wrote a report about {days:.3g} days to {output}.")


def _hub_of(data: Path) -> tuple[str, str, str]:
    """Return name, zone and language of the hub of ``data``; if none runs, the usual ones."""
    import msgspec

    from motehub.run_file import RUN_FILE, RunFile

    try:
        found = msgspec.json.decode((data / RUN_FILE).read_bytes(), type=RunFile)
    except (OSError, msgspec.MsgspecError):
        return "motehub", "", "en"
    return found.name, found.time_zone, found.language


@click.group("reports")
def group() -> None:
    """List, add, change, send and remove reports: mails at set times about what devices said."""


@group.command("list")
@data_option
@format_option
def list_reports(data: Path, format_: Format) -> None:
    """List all reports, with what became of the last of each."""
    from motehub.alerting import report_desk
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows
    from motehub.report_requests import ListReports

    rows = tell_hub(data, ListReports())["reports"]
    ran = report_desk.runs(data)
    for row in rows:
        last = ran.get(row["name"])
        row |= {"last": None, "result": "", "waiting": 0}
        if last is not None:
            row |= {"last": last.time, "result": last.result, "waiting": last.waiting}
    columns = (*COLUMNS, *FURTHER_COLUMNS)
    hidden = {key for row in rows for key in row} - set(COLUMNS)
    print_rows(columns, rows, format_, "There are no reports.", not_in_table=hidden)


_report_options = with_options(
    click.option("--schedule", metavar="CRON", help="When: '0 7 * * 1' = Mondays at 7:00."),
    click.option("--time-zone", metavar="ZONE", help="Zone of the schedule: Europe/Paris."),
    click.option("--language", type=click.Choice(["en", "fr"]), help="What it is written in."),
    click.option(
        "--to", "recipients", multiple=True, metavar="ADDRESS", help="To whom it is sent."
    ),
    *about_devices,
    click.option(
        "--metric", "metrics", multiple=True, metavar="NAME", help="Only this; '*' = any text."
    ),
    click.option(
        "--period",
        type=click.Choice(["previous", "day", "week", "month"]),
        help="What it is about: since it was due before, or the whole day … before.",
    ),
    click.option("--above", type=float, help="Tell how long readings were greater."),
    click.option("--below", type=float, help="Tell how long readings were less."),
    click.option("--charts/--no-charts", default=None, help="Whether there are charts in it."),
    click.option("--csv/--no-csv", default=None, help="Whether readings are attached as CSV."),
)


@group.command()
@click.argument("name")
@_report_options
@data_option
def add(name: str, data: Path, **given: Any) -> None:
    """Send a report: motehub reports add Weekly --schedule '0 7 * * 1' --to me@example.org."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.report_requests import AddReport

    if given["schedule"] is None:
        raise click.UsageError("Say when it is sent: --schedule '0 7 * * 1'.")
    made = tell_hub(data, AddReport({"name": name, **given_fields(given)}))
    click.echo(f"{shown(made['name'])} is sent at {shown(made['schedule'])}.")


@group.command()
@click.argument("name")
@click.option("--enabled/--disabled", default=None, help="Whether it is sent.")
@_report_options
@data_option
def change(name: str, data: Path, **given: Any) -> None:
    """Change what is given of a report."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.report_requests import ChangeReport

    made = tell_hub(data, ChangeReport(name, given_fields(given)))
    click.echo(f"{shown(made['name'])} is changed.")


@group.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Send a report no more."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.report_requests import RemoveReport

    tell_hub(data, RemoveReport(name))
    click.echo(f"{shown(name)} is removed.")


@group.command()
@click.argument("name")
@click.option("--no-wait", is_flag=True, help="Don't wait to hear whether it is made.")
@data_option
def send(name: str, no_wait: bool, data: Path) -> None:
    """Send a report once, now; if no hub runs, when one does."""
    from motehub import data_folder
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.report_requests import SendReport

    ordered = tell_hub(data, SendReport(name))["ordered"]
    if not data_folder.is_owned(data):
        click.echo(f"{shown(name)} is sent as soon as a hub runs.")
        return
    came = None if no_wait else _came_of(data, name, ordered)
    if came is None:
        click.echo(f"{shown(name)} is ordered: 'motehub reports letters' says what becomes of it.")
    elif came.ok:
        click.echo(
            f"{shown(name)} is made, {came.result}: 'motehub reports letters' says which arrive."
        )
    elif came.over:
        raise OwnerError(f"{shown(name)} is not sent: {came.result.rstrip('.')}.")
    else:
        click.echo(f"{shown(name)} waits and is tried again: {came.result.rstrip('.')}.")


def _came_of(data: Path, name: str, ordered: int) -> Outcome | None:
    """Wait for what comes of an order; None where that takes long."""
    import time

    from motehub.alerting.report_desk import came_of

    deadline = time.monotonic() + _MADE_SECONDS
    while (came := came_of(data, name, ordered)) is None and time.monotonic() < deadline:
        time.sleep(_LOOK_SECONDS)
    return came


@group.command()
@click.argument("name")
@click.argument("address")
@data_option
def again(name: str, address: str, data: Path) -> None:
    """Send the report NAME again to ADDRESS, who has left it."""
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown
    from motehub.report_requests import BringBack

    tell_hub(data, BringBack(name, address))
    click.echo(f"{shown(name)} is sent to {shown(address)} again.")


@group.command()
@click.argument("name", required=False)
@limit_option
@data_option
@format_option
def letters(name: str | None, limit: int, data: Path, format_: Format) -> None:
    """List the letters of reports, newest first, with what became of them."""
    from msgspec.structs import asdict

    from motehub.alerting import report_desk
    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_rows

    check_folder(data)
    rows = [asdict(one) for one in report_desk.letters(data, limit, name)]
    print_rows(LETTER_COLUMNS, rows, format_, "No letter was sent yet.")
