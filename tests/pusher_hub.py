"""A hub with Pusher Channels, and clients that are not ours: pusher-js, Laravel Echo, pusher."""

from __future__ import annotations

import json
import queue
import subprocess
import threading
import time
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Final, Self

import pusher  # type: ignore[import-untyped]

from tests.harness import PATIENCE, Settings
from tests.web_hub import WebHub

PUSHER: Settings = {"web": {"host": "127.0.0.1", "port": 0}}
"""A hub whose web port speaks Pusher Channels, as it does when nothing is said."""

_SCRIPT: Final = Path(__file__).parent / "pusher_js" / "browser.mjs"


class PusherHub(WebHub):
    """A hub with its keys, and the programs that use them."""

    @cached_property
    def keys(self) -> dict[str, str]:
        done = self.cli("pusher", "show", "--json")
        assert done.returncode == 0, done.stderr
        keys: dict[str, str] = json.loads(done.stdout)
        return keys

    def program(self, keys: Mapping[str, str] | None = None, **options: Any) -> Any:
        """Return a program that publishes, with the library of the hosted service."""
        given = keys or self.keys
        return pusher.Pusher(
            app_id=given["app_id"],
            key=given["key"],
            secret=given["secret"],
            host="127.0.0.1",
            port=self.web_port,
            ssl=False,
            **options,
        )

    def browser(self, token: str = "", **options: Any) -> Browser:
        """Return a client with pusher-js, connected when ``with`` begins."""
        auth = {
            "endpoint": f"{self.url}/api/broadcasting/auth",
            "transport": "ajax",
            "headers": {"Authorization": f"Bearer {token}"},
        }
        given = {
            "key": self.keys["key"],
            "wsHost": "127.0.0.1",
            "wsPort": self.web_port,
            "forceTLS": False,
            "channelAuthorization": auth,
            "userAuthentication": auth,
        }
        return Browser(given | options)


class Browser:
    """A process with pusher-js, to be used with ``with``: what it hears is a queue."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._options = options
        self._heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._all: list[dict[str, Any]] = []
        self.socket_id = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            ["node", str(_SCRIPT)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        threading.Thread(target=self._read, daemon=True).start()
        self.do("connect", **self._options)
        if self._options.get("wait", True):
            self.socket_id = self.wait(lambda one: one.get("state") == "connected")["socket"]
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.kill()
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()

    def do(self, what: str, **given: Any) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps({"do": what, **given}) + "\n")
        self._process.stdin.flush()

    def wait(self, is_it: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Return the next thing it hears that is wanted; others are skipped."""
        deadline = time.monotonic() + PATIENCE
        while (left := deadline - time.monotonic()) > 0:
            try:
                one = self._heard.get(timeout=left)
            except queue.Empty:
                break
            if one is None:
                break
            if is_it(one):
                return one
        raise AssertionError(f"it has not come; heard: {self._all}")

    def subscribe(self, channel: str) -> Any:
        """Subscribe, and return what comes with the confirmation."""
        self.do("subscribe", channel=channel)
        return self.event(channel, "pusher:subscription_succeeded")["data"]

    def refused(self, channel: str) -> Any:
        """Subscribe, and return why it was refused."""
        self.do("subscribe", channel=channel)
        return self.event(channel, "pusher:subscription_error")["data"]

    def event(self, channel: str, event: str) -> dict[str, Any]:
        """Return the next such event."""
        return self.wait(lambda one: (one.get("channel"), one.get("event")) == (channel, event))

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            try:
                heard = json.loads(line)
            except ValueError:
                heard = {"said": line}
            self._all.append(heard)
            self._heard.put(heard)
        self._heard.put(None)
