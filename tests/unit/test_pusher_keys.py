"""The keys of the hub's application: made once, kept for its owner alone."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from motehub.config import load
from motehub.config_shown import to_json
from motehub.errors import ConfigurationError
from motehub.pusher_keys import FILE, ensure_keys, known_keys
from motehub.web.pusher_settings import PusherSettings


def test_keys_are_made_once(tmp_path: Path) -> None:
    """They are the same at the next start; the number has digits only, as libraries want it."""
    keys = ensure_keys(tmp_path, PusherSettings())
    assert keys.app_id.isdecimal()
    assert len(keys.secret) == 40
    assert ensure_keys(tmp_path, PusherSettings()) == keys
    assert known_keys(tmp_path, PusherSettings()) == keys
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_nobody_else_can_read_them(tmp_path: Path) -> None:
    """Whatever the umask is."""
    before = os.umask(0)
    try:
        ensure_keys(tmp_path, PusherSettings())
    finally:
        os.umask(before)
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_keys_of_the_configuration_win(tmp_path: Path) -> None:
    """They are not written anywhere."""
    settings = PusherSettings(app_id="7", key="given", secret="given secret")
    assert ensure_keys(tmp_path, settings).app_id == "7"
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "{}", '{"app_id":"x","key":"good","secret":"12345678"}'])
def test_a_damaged_file_is_not_replaced(tmp_path: Path, content: str) -> None:
    """All clients have the old keys: the owner decides."""
    (tmp_path / FILE).write_text(content)
    with pytest.raises(ConfigurationError, match="damaged"):
        ensure_keys(tmp_path, PusherSettings())
    assert (tmp_path / FILE).read_text() == content


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ('app_id = "1"', "app_id, key and secret"),
        ('app_id = "one"\nkey = "abcd"\nsecret = "12345678"', "digits"),
        ('app_id = "1"\nkey = "a b"\nsecret = "12345678"', "key"),
        ('app_id = "1"\nkey = "abcd"\nsecret = "1234567"', "secret"),
        ('activity_timeout = "2h"', "activity_timeout"),
        ('webhook_events = ["channel_ocupied"]', "webhook_events"),
        ('overflow = "wait"', "overflow"),
        ('[[pusher.app]]\napp_id = "2"\nkey = "abcd"', "secret"),
        (
            '[[pusher.app]]\napp_id = "2"\nkey = "abcd"\nsecret = "12345678"\n'
            '[[pusher.app]]\napp_id = "2"\nkey = "abce"\nsecret = "12345678"',
            "the same app_id",
        ),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, text: str, key: str) -> None:
    """Before anything is opened; a secret is never repeated."""
    file = tmp_path / "motehub.toml"
    file.write_text(f"[web]\n[pusher]\n{text}\n")
    with pytest.raises(ConfigurationError) as caught:
        load(file, {})
    assert key in str(caught.value)
    assert "1234567" not in str(caught.value)


def test_secrets_are_not_shown(tmp_path: Path) -> None:
    """Neither that of the hub's application nor those of others."""
    file = tmp_path / "motehub.toml"
    file.write_text(
        '[pusher]\napp_id = "1"\nkey = "abcd"\nsecret = "s3cret-one"\n'
        '[[pusher.app]]\napp_id = "2"\nkey = "abce"\nsecret = "s3cret-two"\n'
    )
    settings = load(file, {})
    assert settings.pusher.app[0].secret == "s3cret-two"
    assert b"s3cret" not in to_json(settings)
    assert b"abce" in to_json(settings)
