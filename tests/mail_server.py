"""A real mail server, which does whatever a test tells it to."""

from __future__ import annotations

import asyncio
import email
import email.policy
import ssl
import threading
import time
from email.message import EmailMessage
from pathlib import Path
from typing import Any, Self, cast

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

from tests.harness import PATIENCE

USER, PASSWORD = "hub@example.org", "a secret of some length"


class MailServer:
    """Listens on 127.0.0.1 within the ``with`` block; ``mails`` are what it has taken.

    ``answer`` is what it says to each, ``hanging`` keeps it from saying anything. ``tls`` is
    "none", "starttls" or "tls", with a certificate and its key. ``beyond_ascii`` offers SMTPUTF8.
    """

    def __init__(
        self,
        tls: str = "none",
        certificate: tuple[Path, Path] | None = None,
        port: int = 0,
        *,
        beyond_ascii: bool = True,
    ) -> None:
        self.mails: list[EmailMessage] = []
        self.times: list[float] = []
        self.answer = "250 OK"
        self.hanging = threading.Event()
        self.users: list[str] = []
        context = None
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
        options: dict[str, Any] = {"enable_SMTPUTF8": beyond_ascii}
        if tls == "tls":
            options["ssl_context"] = context
        elif tls == "starttls":
            options |= {"tls_context": context, "require_starttls": True}
        if tls != "none":
            options |= {
                "authenticator": self._log_in,
                "auth_required": True,
                "auth_require_tls": tls == "starttls",
            }
        self._controller = _Controller(self, hostname="127.0.0.1", port=port, **options)

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._controller.hang_up()
        self.hanging.clear()
        self._controller.stop()

    @property
    def port(self) -> int:
        return int(cast("Any", self._controller.server).sockets[0].getsockname()[1])

    async def handle_DATA(self, _server: SMTP, _session: Session, envelope: Envelope) -> str:  # noqa: N802
        while self.hanging.is_set():
            await asyncio.sleep(0.01)
        if self.answer.startswith("250"):
            content = cast("bytes", envelope.content)
            mail = email.message_from_bytes(content, policy=email.policy.default)
            self.times.append(time.time())
            self.mails.append(mail)
        return self.answer

    def wait(self, count: int) -> list[EmailMessage]:
        """Return the mails once there are so many."""
        deadline = time.monotonic() + PATIENCE
        while len(self.mails) < count:
            assert time.monotonic() < deadline, f"{len(self.mails)} mails of {count}"
            time.sleep(0.01)
        return self.mails

    def to(self, address: str) -> list[EmailMessage]:
        """Return the mails to somebody once there is one."""
        deadline = time.monotonic() + PATIENCE
        while not (found := [one for one in self.mails if address in str(one["To"])]):
            assert time.monotonic() < deadline, f"no mail to {address}"
            time.sleep(0.01)
        return found

    def _log_in(
        self, _server: SMTP, _session: Session, _envelope: Envelope, _way: str, data: object
    ) -> AuthResult:
        assert isinstance(data, LoginPassword)
        good = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        self.users.append(data.login.decode())
        return AuthResult(success=good, handled=good)


class _Controller(Controller):
    def __init__(self, *args: Any, **options: Any) -> None:
        self._taken: list[SMTP] = []
        super().__init__(*args, **options)

    def factory(self) -> SMTP:
        """Return what speaks on a new connection."""
        self._taken.append(super().factory())  # type: ignore[no-untyped-call]
        return self._taken[-1]

    def hang_up(self) -> None:
        """End the connections that are open, before their loop does."""

        async def abort() -> None:
            for one in self._taken:
                if one.transport is not None:
                    cast("asyncio.Transport", one.transport).abort()
            await asyncio.sleep(0.01)

        asyncio.run_coroutine_threadsafe(abort(), self.loop).result(PATIENCE)

    def _trigger_server(self) -> None:
        """Connect to see whether it listens: to the port that was free."""
        self.port = cast("Any", self.server).sockets[0].getsockname()[1]
        super()._trigger_server()  # type: ignore[no-untyped-call]


def plain(mail: EmailMessage) -> str:
    """Return the plain text of a mail."""
    body = mail.get_body(("plain",))
    assert body is not None
    return str(body.get_content())


def html(mail: EmailMessage) -> str:
    """Return the HTML of a mail."""
    body = mail.get_body(("html",))
    assert body is not None
    return str(body.get_content())
