"""Servers that tests of all kinds share."""

from collections.abc import Iterator

import pytest

from tests.servers import PostgresServer


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """A PostgreSQL server; whoever stops it starts it again."""
    with PostgresServer() as server:
        yield server


@pytest.fixture
def database(postgres: PostgresServer) -> Iterator[str]:
    """URL of a new, empty database."""
    url = postgres.new_database()
    yield url
    postgres.drop(url)
