"""``motehub pusher``: what programs need to use the hub's Pusher Channels."""

from __future__ import annotations

from pathlib import Path

import click

from motehub.cli.options import config_option, data_override


@click.group("pusher")
def group() -> None:
    """Show what clients and programs of Pusher Channels need."""


@group.command()
@config_option
@data_override
@click.option("--json", "as_json", is_flag=True, help="Print them as a JSON object.")
def show(config: Path | None, data: Path | None, *, as_json: bool) -> None:
    """Print number, key and secret of the hub's application; they are made if there are none.

    Whoever has the secret can hear and say everything on all channels.
    """
    import msgspec

    from motehub import data_folder
    from motehub.config import load
    from motehub.pusher_keys import ensure_keys, known_keys

    settings = load(config, data_dir=data)
    folder = settings.data_dir
    keys = known_keys(folder, settings.pusher)
    if keys is None:
        data_folder.prepare(folder)
        with data_folder.locked(folder, data_folder.LOCK_WAIT):
            keys = ensure_keys(folder, settings.pusher)
    if as_json:
        click.echo(msgspec.json.encode(keys))
        return
    for name, value in (("app_id", keys.app_id), ("key", keys.key), ("secret", keys.secret)):
        click.echo(f"{name:6} = {value}")
