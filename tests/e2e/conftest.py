"""Hubs that many tests share: each test speaks from a loopback address of its own."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path

import pytest
from tests.harness import OPEN, HubProcess

_numbers = count(1)


@pytest.fixture(scope="session")
def approving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub at which unknown devices wait for the owner."""
    with HubProcess(tmp_path_factory.mktemp("approving") / "data") as hub:
        yield hub


@pytest.fixture(scope="session")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A hub that accepts every device at once."""
    with HubProcess(tmp_path_factory.mktemp("lab") / "data", OPEN) as hub:
        yield hub


@pytest.fixture
def address() -> str:
    """An address from which no other test speaks; the hub calls its device ``dht-ADDRESS``."""
    number = next(_numbers)
    return f"127.1.{number // 250}.{number % 250 + 1}"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a hub that the test starts itself."""
    return tmp_path / "data"
