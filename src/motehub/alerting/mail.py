"""Mail: one message to a server that takes it (RFC 5321), over TLS with its certificate checked."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from motehub.alerting.letters import Letter, Picture, bare_address, compose_message
from motehub.alerting.plan import Mail
from motehub.alerting.wording import Wording

_EXCERPT: Final = 300
# Replies from here on stay the same however often one asks (RFC 5321 § 4.2.1).
_FOREVER: Final = 500


class NotDelivered(Exception):
    """A message has not arrived; ``str()`` is why, in words for the owner.

    ``forever`` says that it never will, however often it is sent; ``about_all`` that others would
    fare no better, so it is for the server to recover.
    """

    def __init__(self, reason: str, *, forever: bool = False, about_all: bool = True) -> None:
        super().__init__(" ".join(reason.split())[:_EXCERPT])
        self.forever = forever
        self.about_all = about_all


def send_mail(
    mail: Mail,
    wording: Wording,
    key: str,
    now: int,
    hub: str,
    pictures: Iterable[Picture] = (),
) -> str:
    """Send a message about alerts to all recipients of ``mail``; see ``send_letter``."""
    letter = Letter(
        mail.recipients, wording.subject, wording.text, wording.html, pictures=tuple(pictures)
    )
    return send_letter(mail, letter, key, now, hub)


def send_letter(mail: Mail, letter: Letter, key: str, now: int, hub: str) -> str:
    """Send a letter to its recipients, and return who was refused, in words ("" for nobody).

    ``key`` is the same whenever it is sent again, so that receivers can tell (RFC 5322 § 3.6.4).

    Raises:
        NotDelivered: the server can't be reached, is not who it should be, or takes it for nobody.
    """
    try:
        message = compose_message(letter, mail.sender, hub, key, now)
    except ValueError as error:
        raise NotDelivered(str(error), forever=True) from error
    where = f"{mail.host}:{mail.port}"
    try:
        with _connected(mail) as server:
            to = [bare_address(one) for one in letter.recipients]
            refused = server.send_message(message, bare_address(mail.sender), to)
    except smtplib.SMTPRecipientsRefused as error:
        raise NotDelivered(
            f"the server refuses all recipients: {_refusals(error.recipients)}",
            forever=all(code >= _FOREVER for code, _ in error.recipients.values()),
            about_all=False,
        ) from error
    except smtplib.SMTPAuthenticationError as error:
        raise NotDelivered(f"the server refuses user or password: {_said(error)}") from error
    except smtplib.SMTPSenderRefused as error:
        raise NotDelivered(
            f"the server refuses the sender {mail.sender}: {_said(error)}"
        ) from error
    except smtplib.SMTPDataError as error:
        raise NotDelivered(
            f"the server answers {error.smtp_code}: {_said(error)}",
            forever=error.smtp_code >= _FOREVER,
            about_all=False,
        ) from error
    except smtplib.SMTPNotSupportedError as error:
        raise NotDelivered(f"the server can't do that: {error}") from error
    except smtplib.SMTPResponseException as error:
        raise NotDelivered(f"the server answers {error.smtp_code}: {_said(error)}") from error
    except ssl.SSLCertVerificationError as error:
        raise NotDelivered(
            f"the server's certificate is not to be trusted: {error.verify_message}"
        ) from error
    except ssl.SSLError as error:
        raise NotDelivered(f"TLS failed: {error.reason or error}; is mail.tls right?") from error
    except TimeoutError as error:
        raise NotDelivered(f"no answer within {mail.timeout:g} s from {where}") from error
    except UnicodeError as error:
        raise NotDelivered(_unsayable(mail)) from error
    except (OSError, smtplib.SMTPException) as error:
        if isinstance(error.__context__, TimeoutError):
            # How the library says that an answer did not come in time.
            raise NotDelivered(f"no answer within {mail.timeout:g} s from {where}") from error
        why = error.strerror or error
        raise NotDelivered(f"the server {where} can't be reached: {why}") from error
    return _refusals(refused)


@contextmanager
def _connected(mail: Mail) -> Iterator[smtplib.SMTP]:
    context = ssl.create_default_context(cafile=mail.ca or None) if mail.tls != "none" else None
    name = socket.gethostname()
    local = name if name.isascii() and name else "localhost"
    server: smtplib.SMTP
    if mail.tls == "tls":
        server = smtplib.SMTP_SSL(
            mail.host, mail.port, local, timeout=mail.timeout, context=context
        )
    else:
        server = smtplib.SMTP(mail.host, mail.port, local, timeout=mail.timeout)
    # What was taken is taken: a server that says no good-bye must not make it sent twice.
    try:
        if mail.tls == "starttls":
            server.starttls(context=context)
        if mail.user:
            server.login(mail.user, mail.password)
        yield server
    finally:
        server.close()


def _unsayable(mail: Mail) -> str:
    """Say what of the settings can't be said to a mail server."""
    if not (mail.user + mail.password).isascii():
        return "user and password of [mail] must be ASCII: another one is needed"
    return f"{mail.host[:80]!r} can't be the name of a mail server: see host in [mail]"


def _said(error: smtplib.SMTPResponseException) -> str:
    said = error.smtp_error
    return said.decode("utf-8", "replace") if isinstance(said, bytes) else str(said)


def _refusals(refused: dict[str, tuple[int, bytes]]) -> str:
    return "; ".join(
        f"{who}: {code} {said.decode('utf-8', 'replace')}" for who, (code, said) in refused.items()
    )
