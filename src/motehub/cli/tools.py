"""Commands that look at a hub: its condition, and what to mend."""

from __future__ import annotations

from pathlib import Path

import click

from motehub.cli.options import config_option, data_option, data_override


@click.command()
@config_option
@data_override
def doctor(config: Path | None, data: Path | None) -> None:
    """Check ports, certificates, disk, clock and databases, and say what to do."""
    from motehub.cli.opening import with_store_of_folder
    from motehub.cli.printing import shown
    from motehub.config import load
    from motehub.doctor import Level, examine

    worst = Level.OK
    colours = {Level.OK: "green", Level.WARNING: "yellow", Level.PROBLEM: "red"}
    settings = load(config, data_dir=data)
    for finding in examine(settings if config else with_store_of_folder(settings)):
        mark = click.style(f"{finding.level.value:8}", fg=colours[finding.level])
        click.echo(f"{mark} {finding.subject}: {shown(finding.message)}")
        if finding.mend:
            click.echo(f"{'':8} → {finding.mend}")
        if finding.level is Level.PROBLEM:
            worst = Level.PROBLEM
    raise SystemExit(1 if worst is Level.PROBLEM else 0)


@click.command()
@data_option
def status(data: Path) -> None:
    """Print the condition of the running hub as JSON."""
    import msgspec

    from motehub.cli.printing import print_json
    from motehub.control import Status, ask

    print_json(msgspec.json.encode(ask(data, Status())))
