"""``motehub demo``: a hub to look at, with devices, that leaves nothing behind."""

from __future__ import annotations

import click


@click.command()
@click.option("--no-browser", is_flag=True, help="Print the link, and open no browser.")
@click.option(
    "--port",
    type=click.IntRange(0, 65535),
    default=0,
    help="Port of the pages; any free one if not given.",
)
def demo(no_browser: bool, port: int) -> None:
    """Run a hub with simulated devices of every dialect, in a temporary folder, to look at.

    It has a week of readings, and opens its pages in a browser. Nothing is left of it when it
    is stopped with Ctrl+C.
    """
    import asyncio

    from motehub.demo.show import show

    asyncio.run(show(port, click.echo, not no_browser))
