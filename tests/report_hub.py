"""A hub with reports and a mail server."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.alert_hub import AlertHub, Rules
from tests.harness import Settings
from tests.mail_server import MailServer
from tests.web_hub import WEB

Reports = Sequence[Mapping[str, object]]


class ReportHub(AlertHub):
    """A real hub with sections ``[[report]]`` that sends its mails to ``server``."""

    def __init__(
        self,
        data: Path,
        server: MailServer | None,
        reports: Reports = (),
        rules: Rules = (),
        settings: Settings = WEB,
    ) -> None:
        super().__init__(data, server, rules, settings)
        text = self.config.read_text("utf-8")
        for report in reports:
            text += "\n[[report]]\n"
            text += "".join(f"{key} = {json.dumps(value)}\n" for key, value in report.items())
        self.config.write_text(text, "utf-8")

    def api(self, method: str, path: str, token: str, body: object = None) -> tuple[int, Any]:
        """Ask the API."""
        options = ["-X", method, "-H", "Content-Type: application/json"]
        raw = None if body is None else json.dumps(body).encode()
        status, headers, answer = self.curl(f"/api/v1{path}", *options, body=raw, token=token)
        is_json = "json" in headers.get("content-type", "")
        return status, json.loads(answer) if answer and is_json else answer
