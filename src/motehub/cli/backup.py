"""Commands that back up a data folder, and bring it back."""

from __future__ import annotations

from pathlib import Path

import click

from motehub.cli.options import data_option


@click.command()
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@data_option
def backup(file: Path, data: Path) -> None:
    """Write everything in the data folder into FILE, as of now: .tar.zst, .tar.gz or .tar.

    A hub may run on it meanwhile. FILE holds keys and passwords' hashes; only you can read it.
    """
    from motehub.backup.making import back_up
    from motehub.cli.opening import check_folder
    from motehub.cli.printing import shown
    from motehub.cli.progress import Bar

    check_folder(data)
    with Bar("bytes") as bar:
        about = back_up(data, file, lambda done, total: bar.show("Backing up", done, total))
    size = file.stat().st_size
    click.echo(f"Wrote {size / 1e6:,.1f} MB to {file}. Its secrets are yours to keep: keys of the")
    click.echo("certificate authority, what is needed to check passwords and tokens.")
    if about.store == "postgres":
        click.echo(f"The history is not in it: it is in {shown(about.where)}. Back it up there.")
    if about.links:
        names = ", ".join(map(shown, about.links))
        said = f"Left out, since they are links: {names}. Back up what they lead to yourself."
        click.echo(said, err=True)


@click.command()
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@data_option
def restore(file: Path, data: Path) -> None:
    """Make the data folder anew from FILE, which 'motehub backup' has written.

    The folder must be empty or missing. Everything is checked before it is in place.
    """
    from motehub.backup.restoring import restore as bring_back
    from motehub.cli.printing import shown
    from motehub.cli.progress import Bar

    done = 0
    with Bar("bytes") as bar:

        def show(count: int) -> None:
            nonlocal done
            done += count
            bar.show("Restoring", done, None)

        about = bring_back(file, data, show)
    click.echo(f"{data} is as it was at {shown(about.created)}. Start the hub on it.")
    if about.store == "postgres":
        click.echo("The history is not in it: restore the database of the same moment first.")
