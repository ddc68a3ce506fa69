"""Commands that move data: original databases in, exports out, histories to another store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from motehub.cli.options import data_option
from motehub.errors import MotehubError, OwnerError

if TYPE_CHECKING:
    from motehub.importing import Outcome

KINDS: Final = ("sensor_data", "home_data", "redis")
"""What can be imported."""

FORMATS: Final = ("csv", "jsonl", "parquet")
"""What an export can be."""


@click.command("import")
@click.argument("source", metavar="FILE_OR_URL")
@click.option(
    "--as",
    "kind",
    type=click.Choice(KINDS),
    help="sensor_data, home_data or redis; found out where that is possible.",
)
@click.option(
    "--device",
    metavar="NAME",
    help="Device of a sensor_data file (default: the file's name), or of single Redis keys.",
)
@click.option("--zone", metavar="ZONE", help="Time zone of local times, as Europe/Paris.")
@click.option(
    "--celsius/--fahrenheit",
    default=None,
    help="Degrees in it.  [default: °C in sensor_data, °F in home_data]",
)
@click.option("--json", "as_json", is_flag=True, help="Print the counts as JSON.")
@data_option
def import_(
    source: str,
    kind: str | None,
    device: str | None,
    zone: str | None,
    celsius: bool | None,
    as_json: bool,
    data: Path,
) -> None:
    """Bring in an original database: sensor_data or home_data (SQLite, PostgreSQL), or Redis.

    May be interrupted and started again: nothing is stored twice.
    """
    from contextlib import closing

    from motehub.cli.opening import check_folder, configuration_of
    from motehub.cli.progress import Bar
    from motehub.importing import Notes, bring_in
    from motehub.transfer.origins import Choice, open_origin

    check_folder(data)
    choice = Choice(source, kind, device, zone, celsius)
    configuration = configuration_of(data)
    notes = Notes(data, choice.key)
    with closing(open_origin(choice, notes.moment)) as origin, Bar("rows") as bar:
        try:
            outcome = bring_in(
                configuration, origin, notes, lambda done, total: bar.show("Importing", done, total)
            )
        except (KeyboardInterrupt, MotehubError) as error:
            if not isinstance(error, OwnerError):
                click.echo(
                    "Interrupted; what was imported is stored. To go on, start it again.", err=True
                )
            raise
    _tell_outcome(outcome, as_json)


@click.command()
@click.argument("devices", nargs=-1, metavar="[DEVICE]...")
@click.option("--metric", "metrics", metavar="METRIC", multiple=True, help="Only this metric.")
@click.option("--since", metavar="TIME", help="From then on: '24h', a date or an ISO 8601 time.")
@click.option("--until", metavar="TIME", help="Before that time, written like --since.")
@click.option(
    "--format",
    "format_",
    type=click.Choice(FORMATS),
    default=FORMATS[0],
    show_default=True,
    help="parquet needs the package duckdb, and -o.",
)
@click.option(
    "-o",
    "--output",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help="Write to FILE, which is there when it is complete, instead of standard output.",
)
@data_option
def export(
    devices: tuple[str, ...],
    metrics: tuple[str, ...],
    since: str | None,
    until: str | None,
    format_: str,
    output: Path | None,
    data: Path,
) -> None:
    """Write readings for other programs, one in each row: device, metric, unit, time, value.

    Without DEVICE those of all devices. What comes in meanwhile is not in it.
    """
    from motehub.archive.history import WholeHistory
    from motehub.cli.opening import FOREVER, history_of, parse_since
    from motehub.cli.printing import warn_incomplete
    from motehub.cli.progress import Bar
    from motehub.transfer.export import Format, Selection, parts_of, write

    if format_ == Format.PARQUET.value and output is None:
        raise click.UsageError("Parquet can't be written to standard output: name a file with -o.")
    begin = parse_since(since) if since else -FOREVER
    end = parse_since(until) if until else FOREVER
    selection = Selection(devices, metrics, begin, end)
    with history_of(data) as (store, complete), store.snapshot(), Bar("readings") as bar:
        warn_incomplete(complete)
        parts = parts_of(store, WholeHistory(store, data), selection)
        count = write(parts, Format(format_), output, lambda n: bar.show("Exporting", n, None))
    if output is not None:
        click.echo(f"Wrote {count:,} readings to {output}.", err=True)


@click.command("migrate-store")
@click.option(
    "--to",
    "place",
    metavar="URL|sqlite",
    required=True,
    help="Where to: 'sqlite' or postgresql://USER:PASSWORD@HOST/DATABASE.",
)
@data_option
def migrate_store(place: str, data: Path) -> None:
    """Move the whole history to another store, compare it, and use it from then on.

    The hub must not run. What was used before stays as it is.
    """
    from motehub.cli.opening import check_folder, configuration_of
    from motehub.cli.printing import shown
    from motehub.cli.progress import Bar
    from motehub.moving import move_history, store_at, where

    store = store_at(place)
    check_folder(data)
    configuration = configuration_of(data)
    with Bar("rows") as bar:
        counts = move_history(configuration, store, bar.show)
    here, there = (shown(where(data, one)) for one in (configuration.store, store))
    if counts is None:
        click.echo(f"The history is in {there} already.")
        return
    for table, count in counts.items():
        click.echo(f"{count:>12,} {table}")
    click.echo(f"All of it is in {there} now, and compared with what is in {here}.")
    section = f'type = "{store.type}"' + (", and url to that address" if store.url else "")
    click.echo(f"In the configuration, set [store] {section}: the hub won't start without it.")
    click.echo(f"What is in {here} stays as it is; delete it when you need it no more.")


def _tell_outcome(outcome: Outcome, as_json: bool) -> None:
    import msgspec

    from motehub.cli.printing import print_json, shown

    if as_json:
        print_json(msgspec.json.encode(outcome))
        return
    already = outcome.duplicate
    if outcome.resumed:
        click.echo("Went on where an earlier import was interrupted.")
    click.echo(f"{outcome.rows:>12,} rows read")
    click.echo(f"{outcome.readings - (already or 0):>12,} readings new")
    if already is None:
        click.echo(f"{'?':>12} of them there already: the history is behind, and takes them later")
    else:
        click.echo(f"{already:>12,} readings there already")
    click.echo(f"{outcome.rejected_rows:>12,} rows rejected")
    if outcome.rejected:
        click.echo(f"{outcome.rejected:>12,} readings not accepted")
    for reason in outcome.reasons:
        click.echo(f"  {shown(reason)}", err=True)
