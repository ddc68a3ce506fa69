"""The original base unit's config.json, nested or with dots."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from motehub.config import load_tree
from motehub.errors import ConfigurationError
from motehub.original_config import read_original

NEEDED = {"api.url": "https://h.example", "api.token": "t"}
FULL = {
    "clients": ["192.0.2.1", "192.0.2.2", "192.0.2.1"],
    "api": {"url": "https://h.example/app", "token": "t"},
    "pusher": {"app-key": "k", "cluster": "mt1", "auth": "broadcasting/auth"},
}


def written(folder: Path, content: object) -> Path:
    file = folder / "config.json"
    file.write_text(json.dumps(content), "utf-8")
    return file


def flat(tree: Mapping[str, object], prefix: str = "") -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in tree.items():
        found |= flat(value, f"{key}.") if isinstance(value, dict) else {prefix + key: value}
    return found


@pytest.mark.parametrize("dotted", [True, False])
def test_all_its_keys(tmp_path: Path, *, dotted: bool) -> None:
    """They become the sections of a base unit, which are checked as any configuration is."""
    file = written(tmp_path, flat(FULL) if dotted else FULL)
    tree, unknown = read_original(file, ["192.0.2.9", "192.0.2.1"])
    assert not unknown
    found = load_tree(tree, str(file), {}).transport
    client = found["pusher_client"]
    assert (client.api_url, client.api_token) == ("https://h.example/app", "t")
    assert (client.key, client.cluster, client.auth) == ("k", "mt1", "/broadcasting/auth")
    units = {key: unit.kind.value for key, unit in found["units"].configured().items()}
    assert units == {"192.0.2.1": "both", "192.0.2.2": "read", "192.0.2.9": "updatable"}


def test_what_it_may_leave_out(tmp_path: Path) -> None:
    """The cluster is eu, the path of the dashboard the usual; unknown keys are named."""
    tree, unknown = read_original(written(tmp_path, NEEDED | {"debug": True, "log": {"to": "x"}}))
    assert unknown == ["debug", "log.to"]
    client = load_tree(tree, "config.json", {}).transport["pusher_client"]
    assert (client.key, client.cluster, client.auth) == ("", "eu", "/api/broadcasting/auth")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ([], "not a JSON object"),
        ({}, "api.url and api.token must be there"),
        ({"api.url": "https://h.example"}, "api.token must be there"),
        (NEEDED | {"api": {"url": "x"}}, "api.url is there twice"),
        (NEEDED | {"clients": "192.0.2.1"}, "clients must be a list"),
        (NEEDED | {"clients": [1]}, "clients must be a list"),
        (NEEDED | {"pusher.cluster": 5}, "pusher.cluster must be text"),
    ],
)
def test_what_can_not_be(tmp_path: Path, content: object, said: str) -> None:
    """The file, the key and what is wrong are named."""
    file = written(tmp_path, content)
    with pytest.raises(ConfigurationError, match=said) as error:
        read_original(file)
    assert str(file) in str(error.value)


def test_files_that_are_none(tmp_path: Path) -> None:
    """One that is missing or no JSON is named; a byte order mark is passed over."""
    for content in (None, b"{", b"[" * 100_000):
        file = tmp_path / "config.json"
        file.unlink(missing_ok=True)
        if content is not None:
            file.write_bytes(content)
        with pytest.raises(ConfigurationError, match=r"config\.json"):
            read_original(file)
    file.write_bytes(b"\xef\xbb\xbf" + json.dumps(NEEDED).encode())
    assert read_original(file)[0]["transport"]["pusher_client"]["api_token"] == "t"
