"""What the fault tests share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The data folder of a hub that the test starts itself."""
    return tmp_path / "data"
