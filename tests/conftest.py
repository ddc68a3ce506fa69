"""Servers that tests of all kinds share, and the order in which several processes take them."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.ports import free_port
from tests.servers import PostgresServer

_LONGEST_FIRST: Final = ("fault", "e2e", "browser", "contract")
"""Folders whose files take longest; at the end there should be short ones left to share out."""

# How long examples take is nothing to go by while others want the processor too.
settings.register_profile(
    "patient", settings(), deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
settings.load_profile("patient")

# A shell ignores it for what it starts in the background, and so would the programs that are
# interrupted here, and Python in them.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """Twice as many processes as processors: half of what tests do is to wait."""
    return 2 * len(os.sched_getaffinity(0))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Where pytest-xdist shares out files among processes, have the long ones begin."""
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: _place(item.path))


def _place(path: Path) -> int:
    folder = path.relative_to(Path(__file__).parent).parts[0]
    return _LONGEST_FIRST.index(folder) if folder in _LONGEST_FIRST else len(_LONGEST_FIRST)


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; whoever stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def unused_tcp_port() -> int:
    """Where nothing listens, and nothing will before the test does."""
    return free_port()


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """URL of a new, empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)
