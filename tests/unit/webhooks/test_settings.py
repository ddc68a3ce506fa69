"""Sections ``[[webhook]]``: what may be written, and what is said about mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.webhook_hub import SECRET

from motehub.config import load
from motehub.errors import ConfigurationError
from motehub.webhook_plans import webhook_plan

GOOD = {"name": '"a"', "url": '"https://x/y"', "secret": f'"{SECRET}"'}


def written(path: Path, **keys: str) -> Path:
    lines = [f"{key} = {value}" for key, value in (GOOD | keys).items() if value]
    path.write_text("[[webhook]]\n" + "\n".join(lines), "utf-8")
    return path


def test_a_section_becomes_an_endpoint(tmp_path: Path) -> None:
    """With the secret from a file, durations in seconds, and only what is enabled."""
    file = tmp_path / "secret"
    file.write_text(f"{SECRET}\n", "utf-8")
    config = written(
        tmp_path / "c.toml",
        secret="",
        secret_file=f'"{file}"',
        old_secret=f'"{SECRET}"',
        events='["presence"]',
        retries='["1s", "2m"]',
    )
    plan = webhook_plan(load(config, {}))
    assert plan is not None
    (endpoint,) = plan.endpoints
    assert endpoint.secrets == (SECRET, SECRET)
    assert endpoint.events == {"presence"}
    assert endpoint.retries == (1, 120)
    assert webhook_plan(load(written(config, enabled="false"), {})) is None


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("url", '"ftp://x"', "must begin with https"),
        ("url", '"https://u:p@x"', "can't hold user and password"),
        ("secret", "", "secret or secret_file"),
        ("secret", '"whsec_c2hvcnQ="', "24 to 64"),
        ("secret_file", '"x"', "secret or secret_file"),
        ("name", '" "', "name must have"),
        ("events", '["alarm"]', "readings or presence or commands"),
        ("events", "[]", "events"),
        ("headers", '{"Content-Length" = "1"}', "sets itself"),
        ("headers", '{"A" = "b\\r\\nc"}', "can't be sent"),
        ("queue", "1", "queue"),
        ("urll", '"x"', "Did you mean url"),
    ],
)
def test_mistakes_are_told(tmp_path: Path, key: str, value: str, said: str) -> None:
    """The message names the key, and never repeats a secret."""
    with pytest.raises(ConfigurationError) as caught:
        load(written(tmp_path / "c.toml", **{key: value}), {})
    assert said in str(caught.value)
    assert SECRET not in str(caught.value)


def test_two_of_one_name_are_refused(tmp_path: Path) -> None:
    """What waits for one must never go to the other."""
    config = written(tmp_path / "c.toml")
    config.write_text(config.read_text("utf-8") * 2, "utf-8")
    config.write_text(config.read_text("utf-8").replace('"[[', '"\n[['), "utf-8")
    with pytest.raises(ConfigurationError, match="two are called 'a'"):
        load(config, {})


def test_a_secret_file_that_holds_none_is_told(tmp_path: Path) -> None:
    """Without its content."""
    file = tmp_path / "secret"
    file.write_text("hidden", "utf-8")
    config = load(written(tmp_path / "c.toml", secret="", secret_file=f'"{file}"'), {})
    with pytest.raises(ConfigurationError, match=r"what .* holds must be whsec_") as caught:
        webhook_plan(config)
    assert "hidden" not in str(caught.value)
    file.unlink()
    with pytest.raises(ConfigurationError, match="can't be read"):
        webhook_plan(config)
