"""Why there is no connection to another broker, and what the owner can do about it."""

from __future__ import annotations

import logging
from typing import Final

from motehub.errors import MotehubError

_SECTION: Final = "[transport.mqtt_client]"
# Reason codes of CONNACK and DISCONNECT in MQTT 5 (§3.2.2.2, §3.14.2.1); the driver has those of
# 3.1.1 in the same form.
_WHAT_TO_DO: Final = {
    0x84: f'The broker does not speak this version of MQTT. Try version = "3.1.1" in {_SECTION}.',
    0x85: f"The broker does not take this client_id. Choose another one in {_SECTION}.",
    0x86: f"The broker refuses user or password. Mend user and password in {_SECTION}.",
    0x87: "The broker refuses this client. Mend user and password in "
    f"{_SECTION}, or the broker's access rules.",
    0x8A: "The broker has banned this client.",
    0x8C: "The broker wants another way to authenticate than user and password or certificate.",
    0x8E: "Another client has connected to the broker with the same client_id. Each hub needs "
    f"its own: change it in {_SECTION} of one of them.",
    0x95: "The broker had a packet that is too large. See packet_limit "
    f"in {_SECTION}, and the broker's own limit.",
    0x97: "The broker says that a quota is exceeded. See its limits.",
    0x9C: f"The broker says: use another server. Change url in {_SECTION}.",
    0x9D: f"The broker says: the server has moved. Change url in {_SECTION}.",
}
_TLS: Final = (
    ("CERTIFICATE_VERIFY_FAILED", "The broker's certificate is not trusted ({error}). Set ca in "
     f"{_SECTION} to the certificate of its authority, and url to a name that it has."),
    ("WRONG_VERSION_NUMBER", "The broker does not speak TLS on this port. Write mqtt:// in url, "
     "or its port for TLS."),
    ("SSLV3_ALERT", "The broker does not accept the hub's certificate ({error}). Mend certificate "
     f"and key in {_SECTION}."),
    ("TLSV1_ALERT_UNKNOWN_CA", "The broker does not know the authority of the hub's certificate. "
     f"Mend certificate and key in {_SECTION}."),
    ("CERTIFICATE_REQUIRED", "The broker wants a certificate. Set certificate and key in "
     f"{_SECTION}."),
)  # fmt: skip
_LONGEST: Final = 300


class Lost(MotehubError):
    """There is no connection, or none any more; the message says why and what to do."""


class Notes(logging.Handler):
    """Keeps the last thing that the driver has to say: of a lost socket it says why only here."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.last = ""

    def emit(self, record: logging.LogRecord) -> None:
        """Keep it; what matters of it is in the reason of :class:`Lost`."""
        self.last = record.getMessage()


def explain(error: BaseException, code: int | None = None, note: str = "") -> str:
    """Return what ``error`` means, in words for people.

    ``code`` is the broker's reason code, ``note`` what the driver has said beside the error.
    """
    if code in _WHAT_TO_DO:
        return _WHAT_TO_DO[code]
    text = (note or str(error))[:_LONGEST]
    for mark, told in _TLS:
        if mark in text:
            return told.format(error=text)
    if "timed out" in text:
        return "The broker does not answer."
    if "refused" in text and "Errno" in text:
        return "Nothing listens at that address. Is the broker running, is url right?"
    if not note and code is not None:
        return "The broker, or something on the way to it, has closed the connection."
    return f"{text.rstrip('.')}."
