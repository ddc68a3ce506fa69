"""What the pages of the settings show of the configuration, and how they try it."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, Final

import msgspec

from motehub import parts
from motehub.alert_plans import channel_plan
from motehub.config import Configuration
from motehub.contracts import Listener
from motehub.errors import OwnerError, UnknownWebhook
from motehub.following import ALERT_PLAN
from motehub.http_client import place_of
from motehub.own_address import own_link
from motehub.storage import utc_microseconds
from motehub.web.desk import ListenerShape, MailShape, NotifierShape, Telling, WebhookSetting
from motehub.web.post import Post

_TRIAL_SECONDS: Final = 60.0
_MOST_OUTPUT: Final = 10_000
# Settings that say where something is; none of them is a secret.
_PLACES: Final = ("host", "port", "tls", "tls_port", "websocket_port", "url", "api_url")
_USER: Final = re.compile(r"//[^/@]*@")
# What the log calls parts otherwise than the configuration does.
_PARTS: Final = {"mqtt": "mqtt_broker"}


class OwnerDesk:
    """See :class:`motehub.web.desk.SettingsDesk`. ``health`` is what the running hub says."""

    def __init__(
        self,
        configuration: Configuration,
        listeners: Callable[[], Mapping[str, Listener]],
        health: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._configuration = configuration
        self._health = health
        self._listeners = listeners
        self._plan = channel_plan(configuration)
        self._trying = asyncio.Lock()
        self.post = Post(self._plan.mail, self._plan.hub, self._base, utc_microseconds)

    def telling(self) -> Telling:
        """Return how people are told."""
        configuration, mail = self._configuration, self._plan.mail
        shown = None
        if mail is not None:
            to = list(mail.recipients)
            user, sender = mail.user, mail.sender
            shown = MailShape(mail.host, mail.port, mail.tls, user, sender, to, mail.ca)
        urls = {one.name: one.url for one in self._plan.apprise}
        return Telling(
            alerts=configuration.alerts.enabled,
            rate=configuration.alerts.rate,
            link=self._base(),
            link_is_set=bool(configuration.alerts.link),
            mail=shown,
            notifiers=[
                NotifierShape(
                    one.name, urls.get(one.name, one.url).partition("://")[0], one.enabled
                )
                for one in configuration.notify
            ],
            webhooks=[
                WebhookSetting(
                    one.name,
                    place_of(one.url).shown,
                    sorted(event.value for event in one.events),
                    list(one.devices),
                    one.enabled,
                )
                for one in configuration.webhook
            ],
        )

    def listeners(self) -> list[ListenerShape]:
        """Return every transport that there is, those that run first."""
        health = self._health()
        found = [self._shape("web", self._configuration.web, health)]
        found += [
            self._shape(name, self._configuration.transport.get(name), health)
            for name in parts.transport_names()
        ]
        return sorted(found, key=lambda one: not one.runs)

    async def try_channel(self, name: str) -> str | None:
        """Send a test through a channel, and return why it has not arrived.

        It is a process of its own: the hub needs none of what mail servers and services need.

        Raises:
            UnknownWebhook: there is no such channel.
            OwnerError: another test is under way.
        """
        channels = self._plan.channels
        if name not in channels:
            known = ", ".join(sorted(channels)) or "none: see [mail] and [[notify]]"
            raise UnknownWebhook(f"There is no channel called {name[:64]!r}. Known: {known}.")
        if self._trying.locked():
            raise OwnerError("Another test is under way. Try again in a moment.")
        async with self._trying:
            return await self._run_trial(name)

    async def _run_trial(self, name: str) -> str | None:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "motehub.alert_trial",
            name,
            env=os.environ | {ALERT_PLAN: msgspec.json.encode(self._plan).decode()},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
        )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(_TRIAL_SECONDS):
                line = await process.stdout.read(_MOST_OUTPUT)
                await process.wait()
            trouble: str | None = msgspec.json.decode(line, type=str | None)
        except TimeoutError:
            return f"no answer within {_TRIAL_SECONDS:g} s"
        except msgspec.MsgspecError:
            return "the test failed in a way that nobody thought of; the hub's log says more"
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    process.kill()
                await process.wait()
        return trouble

    def _base(self) -> str:
        return self._configuration.alerts.link or own_link(self._listeners()) or ""

    def _shape(self, name: str, settings: Any, health: Mapping[str, Any]) -> ListenerShape:
        counters = health["transports"].get(name)
        runs = settings is not None and counters is not None
        trouble = next(_troubles(name, health), None) if runs else None
        ports = {
            port: listener
            for port, listener in self._listeners().items()
            if port == name or port.startswith(f"{name}_")
        }
        return ListenerShape(
            section=name if name == "web" else f"transport.{name}",
            runs=runs,
            ports=ports,
            connections=health["connections"].get(name, 0) if runs and ports else None,
            refused=_refused(counters) if runs else None,
            trouble=None if trouble is None else f"{trouble['event']} ({trouble['detail']})",
            trouble_at=None if trouble is None else trouble["time"],
            settings=_places(settings),
        )


def _troubles(name: str, health: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for one in health["troubles"]:
        part = _PARTS.get(one["part"], one["part"])
        if part == name or part.startswith(f"{name}_"):
            yield one


def _refused(counters: Mapping[str, int]) -> int | None:
    found = [count for what, count in counters.items() if what.startswith("refused")]
    return sum(found) if found else None


def _places(settings: Any) -> dict[str, Any]:
    given = {key: getattr(settings, key, None) for key in _PLACES}
    return {
        # What stands before the @ may be a password.
        key: _USER.sub("//", value) if isinstance(value, str) else value
        for key, value in given.items()
        if isinstance(value, str | int)
    }
