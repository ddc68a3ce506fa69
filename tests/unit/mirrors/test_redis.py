"""Where values lie in Redis, how they look there, and what people are told about its errors."""

from __future__ import annotations

import socket
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.errors import OwnerError, StorageError
from motehub.mirrors._redis_layout import Placing, Writes, placing, shown
from motehub.mirrors.redis import Settings, open_mirror, where
from motehub.model import Admission, Device


def device(*identities: str) -> Device:
    return Device(1, "name", "x", identities, Admission.ACCEPTED, 0)


@pytest.mark.parametrize(
    ("identities", "flat", "hashes"),
    [
        (["address:192.0.2.1"], False, ("name",)),
        (["json_socket.flat:cert"], True, ()),
        (["json_socket:room/1"], False, ("room/1",)),
        (["json_socket:a", "json_socket.flat:a", "json_socket:b"], True, ("a", "b")),
        (["address:192.0.2.1", "json_socket:a"], False, ("a",)),
    ],
)
def test_identities_decide_where_a_device_is(
    identities: list[str], flat: bool, hashes: tuple[str, ...]
) -> None:
    """What a program sends decides about its keys; the name only about those of others."""
    assert placing(device(*identities)) == Placing(flat, hashes)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (12.0, b"12"),
        (-0.0, b"0"),
        (2.0**53 - 1, b"9007199254740991"),
        (2.0**53, b"9007199254740992.0"),
        (1e22, b"1e+22"),
        (0.1, b"0.1"),
        (float("inf"), b"inf"),
        ("ä\0", b"\xc3\xa4\0"),
    ],
)
def test_values_as_they_are_shown(value: float | str, text: bytes) -> None:
    """Whole numbers as far as a float is exact have no point."""
    assert shown(value) == text


@given(st.floats(allow_nan=False))
def test_no_digit_is_lost(value: float) -> None:
    """A program that reads the text as a number has the number."""
    assert float(shown(value)) == value


def test_the_later_of_string_and_hash_stays() -> None:
    """Whatever was put before under the same key goes."""
    writes = Writes()
    writes.put(("k", None), b"1")
    writes.put(("k", "f"), b"2")
    writes.put(("s", "f"), b"3")
    writes.put(("s", None), b"4")
    writes.remove([("k", None), ("gone", "f"), ("list", "f")])
    types = {"k": b"string", "gone": b"hash", "list": b"list"}
    commands, left_out = writes.commands(types)
    assert commands[-3:] == [("DEL", b"k"), ("HSET", b"k", b"f", b"2"), ("SET", b"s", b"4")]
    assert set(commands[:-3]) == {("DEL", b"k"), ("HDEL", b"gone", b"f")}
    assert left_out == 0


def test_the_mirrors_own_keys_are_not_written() -> None:
    """Nobody can move the cursor by calling a field like it."""
    placed = Placing(True, ("motehub:cursor", "fine"))
    assert list(placed.places("motehub:times")) == [("fine", "motehub:times")]
    assert list(placed.places("x")) == [("x", None), ("fine", "x")]


@pytest.mark.parametrize(
    ("url", "public"),
    [
        ("redis://h:1/2", "redis://h:1/2"),
        ("redis://:s3cret@h/0", "redis://:***@h/0"),
        ("rediss://u:s3cret@h?ssl_cert_reqs=none", "rediss://u:***@h?ssl_cert_reqs=none"),
        ("unix:///r.sock?db=1&password=s3cret", "unix:///r.sock?db=1&password=***"),
    ],
)
def test_addresses_are_shown_without_the_password(url: str, public: str) -> None:
    """The rest stays, so that one can see which server is meant."""
    assert where(Settings(url)) == public


def trouble(url: str) -> str:
    with pytest.raises(StorageError) as caught:
        open_mirror(Settings(url)).position("journal")
    assert "s3cret" not in str(caught.value)
    return str(caught.value)


def test_errors_say_what_to_do(tmp_path: Path) -> None:
    """Nothing listens, the socket's file is missing, or what answers is no Redis."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        assert "does not run" in trouble(f"redis://:s3cret@127.0.0.1:{port}/0")
        assert "does not run" in trouble(f"unix://:s3cret@{tmp_path}/none.sock")
    assert "is not known" in trouble("redis://:s3cret@host.invalid/0")


def test_an_unusable_address_is_the_owners_matter() -> None:
    """What the driver can't read is named without being repeated."""
    with pytest.raises(OwnerError, match="no address") as caught:
        open_mirror(Settings("redis://:s3cret@h/0?socket_timeout=soon"))
    assert "s3cret" not in str(caught.value)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"url": "redis://h", "stream_length": -1}, Settings)
