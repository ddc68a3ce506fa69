"""Which history a command opens: the one of the environment, or that of the folder's last hub."""

from pathlib import Path

import pytest

from motehub.cli.opening import configuration_of
from motehub.config import StoreSettings
from motehub.data_folder import remember_store
from motehub.errors import ConfigurationError

SERVER = StoreSettings("postgres", "postgresql://a:s3cret@h/d")


@pytest.fixture(autouse=True)
def bare(monkeypatch: pytest.MonkeyPatch) -> None:
    """No store is named in the environment."""
    monkeypatch.delenv("MOTEHUB_STORE_TYPE", raising=False)
    monkeypatch.delenv("MOTEHUB_STORE_URL", raising=False)


def test_a_folder_without_a_note_is_of_the_default_store(tmp_path: Path) -> None:
    """A folder on which no hub has run yet, or one of before the note."""
    assert configuration_of(tmp_path).store == StoreSettings()


def test_the_store_of_the_last_hub_is_remembered(tmp_path: Path) -> None:
    """A later hub's note takes the place of an earlier one; others can't read it."""
    remember_store(tmp_path, StoreSettings())
    remember_store(tmp_path, SERVER)
    assert configuration_of(tmp_path).store == SERVER
    assert [path.name for path in tmp_path.iterdir()] == ["store.json"]
    assert (tmp_path / "store.json").stat().st_mode & 0o777 == 0o600


def test_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A store that is named in the environment is the one that is opened."""
    remember_store(tmp_path, SERVER)
    monkeypatch.setenv("MOTEHUB_STORE_TYPE", "sqlite")
    assert configuration_of(tmp_path).store == StoreSettings()


@pytest.mark.parametrize(
    ("text", "word"), [("{", "can't be read"), ('{"type": "oracle"}', "known stores")]
)
def test_a_broken_note_is_named(tmp_path: Path, text: str, word: str) -> None:
    """The file and what to do about it, without what it says."""
    (tmp_path / "store.json").write_text(text)
    with pytest.raises(ConfigurationError, match=word) as caught:
        configuration_of(tmp_path)
    assert "store.json" in str(caught.value)
