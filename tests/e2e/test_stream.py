"""Looking on: what the running hub sends as server-sent events, to curl and to a program."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from tests.harness import OPEN, PATIENCE
from tests.web_hub import WEB, WebHub

Event = tuple[str, Any]


class Stream:
    """An open stream, read event by event."""

    def __init__(self, answer: httpx.Response) -> None:
        self._lines = answer.iter_lines()
        self.last = ""

    def next(self) -> Event:
        """Return name and data of the next event that is not only a comment or an id."""
        name, data = "message", None
        for line in self._lines:
            field, _, value = line.partition(": ")
            if field == "event":
                name = value
            elif field == "data":
                data = value
            elif field == "id":
                self.last = value
            elif not line and data is not None:
                return name, json.loads(data)
        raise EOFError

    def until(self, wanted: str) -> Any:
        """Return the data of the next event of that name."""
        while True:
            name, data = self.next()
            if name == wanted:
                return data


@contextmanager
def looking_on(
    hub: WebHub, token: str, query: str = "", last: str | None = None
) -> Iterator[Stream]:
    headers = {"Authorization": f"Bearer {token}"}
    if last is not None:
        headers["Last-Event-ID"] = last
    url = f"{hub.url}/api/v1/stream{query}"
    with httpx.stream("GET", url, headers=headers, timeout=PATIENCE, trust_env=False) as answer:
        assert answer.status_code == 200, answer.read()
        assert answer.headers["content-type"] == "text/event-stream"
        yield Stream(answer)


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WebHub]:
    with WebHub(tmp_path_factory.mktemp("stream") / "data", {**OPEN, **WEB}) as started:
        yield started


@pytest.fixture(scope="module")
def owner(hub: WebHub) -> str:
    return hub.token("owner", "admin")


def say(hub: WebHub, token: str, device: str, value: float | str) -> None:
    status, document = hub.send({"device": device, "metric": "level", "value": value}, token=token)
    assert status == 200, document


def hear_of(stream: Stream, device: str) -> None:
    """Return when the stream says something of a device."""
    while stream.next()[1].get("device") != device:
        pass


def test_readings_arrive_as_they_are_stored(hub: WebHub, owner: str) -> None:
    """A stream says what a device measured, with its metric, soon after it was acknowledged."""
    with looking_on(hub, owner) as stream:
        name, data = stream.next()
        assert (name, data["resumed"]) == ("hello", False)
        say(hub, owner, "tank", 20.5)
        assert stream.until("device")["device"] == "tank"
        readings = stream.until("readings")
        (series,) = readings["series"]
        assert (readings["device"], series["metric"], series["values"]) == ("tank", "level", [20.5])
        say(hub, owner, "tank", "full")
        (series,) = stream.until("readings")["series"]
        assert (series["kind"], series["values"]) == ("text", ["full"])


def test_curl_looks_on(hub: WebHub, owner: str) -> None:
    """The example of the documentation works: curl prints events until it is stopped."""
    command = ["curl", "-sSN", "--noproxy", "*", "-H", f"Authorization: Bearer {owner}"]
    with subprocess.Popen(
        [*command, f"{hub.url}/api/v1/stream"], stdout=subprocess.PIPE, text=True
    ) as curl:
        assert curl.stdout is not None
        assert curl.stdout.readline() == "event: hello\n"
        say(hub, owner, "curled", 1)
        while curl.stdout.readline() != "event: readings\n":
            pass
        assert '"device":"curled"' in curl.stdout.readline()
        curl.kill()


def test_a_stream_of_one_device_says_nothing_of_others(hub: WebHub, owner: str) -> None:
    """Named devices only are sent, and so are those to which a token is bound."""
    say(hub, owner, "mine", 0)
    say(hub, owner, "other", 0)
    bound = hub.token("bound", "read", "--device", "mine")
    with looking_on(hub, owner, "?device=mine") as named, looking_on(hub, bound) as visible:
        for stream in (named, visible):
            stream.until("hello")
        say(hub, owner, "other", 1)
        say(hub, owner, "mine", 2)
        for stream in (named, visible):
            name, data = stream.next()
            # That a device is new, and what it said first, may be told late.
            while name == "device" or data["series"][0]["values"] == [0]:
                assert data["device"] == "mine"
                name, data = stream.next()
            assert (name, data["device"]) == ("readings", "mine")


def test_what_is_commanded_is_seen_by_who_may_command(hub: WebHub, owner: str) -> None:
    """Steps of commands are sent to tokens with that scope; others see only the event."""
    reader = hub.token("reader", "read")
    say(hub, owner, "lamp", 0)
    with looking_on(hub, owner) as stream, looking_on(hub, reader) as reading:
        stream.until("hello")
        reading.until("hello")
        body = b'{"payload": "red"}'
        status, _, answer = hub.curl("/api/v1/devices/lamp/commands", body=body, token=owner)
        assert status == 202
        command = stream.until("command")
        assert (command["id"], command["state"]) == (json.loads(answer)["id"], "queued")
        # That it is new may be told late, to both.
        heard = reading.next()
        while heard[0] in {"device", "readings"}:
            heard = reading.next()
        assert heard[0] == "event"


def test_a_stream_goes_on_where_it_broke_off(hub: WebHub, owner: str) -> None:
    """Who comes back with the last id hears what was stored meanwhile, once."""
    with looking_on(hub, owner) as witness:
        witness.until("hello")
        with looking_on(hub, owner) as stream:
            stream.until("hello")
            say(hub, owner, "broken", 1)
            stream.until("readings")
            say(hub, owner, "broken", 2)
            stream.until("readings")
            last = stream.last
        assert last
        say(hub, owner, "broken", 3)
        while witness.until("readings")["series"][0]["values"][-1] != 3:
            pass
        with looking_on(hub, owner, last=last) as stream:
            assert stream.until("hello")["resumed"] is True
            heard = stream.until("readings")["series"][0]["values"]
            while heard[-1] != 3:
                heard += stream.until("readings")["series"][0]["values"]
    assert heard in ([2, 3], [3])


def test_a_revoked_token_sees_no_more(hub: WebHub, owner: str) -> None:
    """A stream ends when the token that opened it is revoked."""
    token = hub.token("short-lived", "read")
    with looking_on(hub, token) as stream:
        stream.until("hello")
        assert hub.cli("token", "revoke", "short-lived").returncode == 0
        say(hub, owner, "later", 1)
        # What was said before may be told late.
        with pytest.raises(EOFError):
            hear_of(stream, "later")


def test_an_open_stream_does_not_hold_up_a_stop(tmp_path: Path) -> None:
    """A hub that is stopped ends its streams in good order, and at once."""
    with WebHub(tmp_path / "data", {**OPEN, **WEB}) as hub:
        token = hub.token("looker", "read")
        with looking_on(hub, token) as stream:
            stream.until("hello")
            assert hub.stop() == 0
            with pytest.raises(EOFError):
                stream.next()


def test_strangers_see_nothing(hub: WebHub) -> None:
    """Without a token, or with one that may not read, there is no stream."""
    writer = hub.token("writer", "write")
    assert hub.curl("/api/v1/stream")[0] == 401
    assert hub.curl("/api/v1/stream", token=writer)[0] == 403
