"""A hub with rules and a mail server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.harness import Settings
from tests.mail_server import MailServer
from tests.web_hub import WEB, WebHub

Rules = Sequence[Mapping[str, object]]


class AlertHub(WebHub):
    """A real hub with sections ``[[rule]]`` that sends its mails to ``server``."""

    def __init__(
        self, data: Path, server: MailServer | None, rules: Rules = (), settings: Settings = WEB
    ) -> None:
        mail: dict[str, object] = {}
        if server is not None:
            mail = {"host": "127.0.0.1", "port": server.port, "tls": "none"}
            mail |= {"sender": "hub@example.org", "recipients": ["owner@example.org"]}
        mail |= settings.get("mail", {})
        super().__init__(data, {**settings, **({"mail": mail} if mail else {})})
        text = self.config.read_text("utf-8")
        for rule in rules:
            text += "\n[[rule]]\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in rule.items())
        self.config.write_text(text, "utf-8")

    def say(self, token: str, value: float | str, device: str = "freezer", **more: Any) -> None:
        """Post a reading, which is durable then."""
        body = {"device": device, "metric": "temperature", "value": value, "unit": "°C", **more}
        assert self.send(body, token=token)[0] == 200
