"""Who may connect to the MQTT broker, and what each client may do there.

A client shows a token (as its password; the user name may be anything), a certificate, or
nothing. What these stand for is joined; the owner's rules add to it and take from it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from msgspec.structs import replace

from motehub.contracts import KnownDevices, KnownTokens, TlsContexts
from motehub.logs import Logger, OccasionalLogger
from motehub.model import MICROSECONDS, Token
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.protocols.mqtt.topics import split_share
from motehub.security.mqtt_grants import Grants, Wanted
from motehub.security.mqtt_rules import Anonymous, Rule, Who, is_plain, unclear

ANONYMOUS: Final = "anonymous"
"""The principal of all clients that have shown neither token nor certificate."""

_REMEMBERED: Final = 1_024
_UNCLEAR: Final = {
    "%c": ReasonCode.CLIENT_IDENTIFIER_NOT_VALID,
    "%u": ReasonCode.NOT_AUTHORIZED,
    "%d": ReasonCode.NOT_AUTHORIZED,
}
_LOOK_AGAIN: Final = MICROSECONDS // 4

_logger = OccasionalLogger(Logger("motehub.mqtt_access"))


class Rights:
    """What one client may do, until ``is_current`` says that it has to connect anew.

    ``principal`` is who it is: sessions belong to principals, since anybody can use any client
    id. ``vouched`` is true when the owner knows it: it has a token or a certificate. ``is_kept``
    tells whether its session may outlive a connection: anybody could leave any number behind.
    """

    __slots__ = (
        "_edition",
        "_fingerprint",
        "_gate",
        "_granted",
        "_revocations",
        "_token",
        "is_kept",
        "principal",
        "vouched",
    )

    def __init__(
        self,
        gate: Gatekeeper,
        granted: Grants,
        token: Token | None,
        certificate: tuple[str, str] | None,
    ) -> None:
        self.principal = _principal(token, certificate)
        self.vouched = token is not None or certificate is not None
        self.is_kept = self.vouched or gate.keeps_strangers
        self._gate = gate
        self._granted = granted
        self._token = token
        self._fingerprint = certificate[0] if certificate is not None else None
        self._edition = gate.tokens.edition
        self._revocations = gate.revocations

    def may_take_over(self, principal: str) -> bool:
        """Tell whether the client may end the connection of ``principal`` with its client id.

        What another principal has subscribed to and not received yet is not for this client,
        even so: it begins a new session.
        """
        return principal in (self.principal, ANONYMOUS)

    def may_publish(self, topic: str) -> bool:
        """Tell whether the client may publish to the topic name."""
        return self._granted.may_publish(topic)

    def may_subscribe(self, topic_filter: str) -> bool:
        """Tell whether the client may have a subscription with the topic filter.

        A shared filter is as good as the filter in it. What is denied of what the filter matches
        is held back: see ``may_receive``.
        """
        return self._granted.may_subscribe(split_share(topic_filter)[1])

    def is_denied(self, topic_filter: str) -> bool:
        """Tell whether the owner has denied all that the topic filter matches."""
        return self._granted.is_denied(split_share(topic_filter)[1])

    @property
    def may_receive(self) -> Callable[[str], bool] | None:
        """Tells whether a message on a topic name may be passed on; None for any."""
        return self._granted.may_receive if self._granted.has_denials else None

    def may_write_device(self, name: str) -> bool:
        """Tell whether the client may send readings of what topics call ``name``.

        Strangers may do so for any: they have devices of their own, which nobody vouches for.
        """
        return self._granted.may_write_device(name)

    def is_device(self, name: str) -> bool:
        """Tell whether the client has shown the token or certificate of a device.

        ``name`` is what topics call it. A token for all devices is none of a device.
        """
        return self._granted.is_device(name)

    def is_current(self, now: int) -> bool:
        """Tell whether nothing of what the client has shown was changed or revoked since.

        It costs little, so it can be asked of each connection every second. ``now`` in µs.
        """
        token = self._token
        if token is not None:
            if self._edition != self._gate.tokens.edition:
                if not self._gate.tokens.has(token):
                    return False
                self._edition = self._gate.tokens.edition
            if token.expires is not None and now >= token.expires:
                return False
        if self._fingerprint is None:
            return True
        if self._revocations != self._gate.look_at_revocations(now):
            if self._gate.is_revoked(self._fingerprint):
                return False
            self._revocations = self._gate.revocations
        return True


class Gatekeeper:
    """Decides who may connect.

    ``trusted`` says that unknown devices are accepted at once. ``reading_topics`` are filters of
    the topics, beside those of ``readings/``, on which the hub finds readings.
    """

    def __init__(
        self,
        tokens: KnownTokens,
        devices: KnownDevices,
        revoked: TlsContexts | None = None,
        *,
        rules: Sequence[Rule] = (),
        anonymous: Anonymous = Anonymous.BY_ADMISSION,
        trusted: bool = False,
        reading_topics: Sequence[str] = (),
    ) -> None:
        self.tokens = tokens
        self._devices = devices
        self._revoked = revoked
        self._rules = rules
        self._by_client_id = any(rule.is_by_client_id for rule in rules)
        if anonymous is Anonymous.BY_ADMISSION:
            anonymous = Anonymous.ALL if trusted else Anonymous.SESSIONS
        self._anonymous = anonymous
        self.keeps_strangers = anonymous is Anonymous.ALL
        self._reading_topics = tuple(reading_topics)
        self._granted: dict[tuple[Token | None, Who], Grants] = {}
        self._looked = 0
        self.revocations = 0 if revoked is None else revoked.revocations()

    def admit(
        self,
        client_id: str,
        user_name: str | None,
        password: bytes | None,
        certificate: tuple[str, str] | None,
        address: str,
        now: int,
    ) -> Rights | ReasonCode:
        """Return what the client may do, or why it is refused.

        ``client_id`` is the one that the server assigned, where the client has none;
        ``certificate`` are SHA-256 and common name, as :class:`motehub.conversations.Peer` has
        them. Time in µs.
        """
        token: Token | None = None
        if password:
            token = self.tokens.find(password.decode("utf-8", "surrogateescape"), now)
            if token is None:
                return _refuse(ReasonCode.BAD_USER_NAME_OR_PASSWORD, client_id, address)
        if certificate is not None and self.is_revoked(certificate[0]):
            return _refuse(ReasonCode.NOT_AUTHORIZED, client_id, address)
        who = _who(client_id, token, certificate)
        if who.is_anonymous and self._anonymous is Anonymous.NONE:
            return _refuse(ReasonCode.NOT_AUTHORIZED, client_id, address)
        rules = [rule for rule in self._rules if rule.applies_to(who)]
        for rule in rules:
            if place := unclear([*rule.deny_publish, *rule.deny_subscribe], who):
                # It would slip through.
                by_id = place == "%c"
                reason = (
                    ReasonCode.CLIENT_IDENTIFIER_NOT_VALID if by_id else ReasonCode.NOT_AUTHORIZED
                )
                return _refuse(reason, client_id, address)
        granted = self._grant(who, token, certificate, rules)
        return Rights(self, granted, token, certificate)

    def is_revoked(self, fingerprint: str) -> bool:
        """Tell whether the certificate with this SHA-256 is good for nothing any more."""
        return self._revoked is not None and self._revoked.is_revoked(fingerprint)

    def look_at_revocations(self, now: int) -> int:
        """Return another number after certificates were revoked; it may be late by ¼ s."""
        if self._revoked is not None and abs(now - self._looked) >= _LOOK_AGAIN:
            self._looked = now
            self.revocations = self._revoked.revocations()
        return self.revocations

    def _grant(
        self,
        who: Who,
        token: Token | None,
        certificate: tuple[str, str] | None,
        rules: Sequence[Rule],
    ) -> Grants:
        """Return what clients like this may do; those that may the same share it."""
        key = token, who if self._by_client_id else replace(who, client_id="")
        granted = self._granted.get(key)
        if granted is None:
            if len(self._granted) >= _REMEMBERED:
                self._granted.clear()
            granted = self._granted[key] = self._make(who, token, certificate, rules)
        return granted

    def _make(
        self,
        who: Who,
        token: Token | None,
        certificate: tuple[str, str] | None,
        rules: Sequence[Rule],
    ) -> Grants:
        wanted = Wanted()
        if token is not None:
            wanted.add_token(token, self._reading_topics)
        if certificate is not None and certificate[1] in who.devices:
            wanted.add_device(certificate[1])
        if who.is_anonymous:
            wanted.everything = self._anonymous is Anonymous.ALL
            wanted.add_sessions()
        for rule in rules:
            wanted.add_rule(rule, who)
        return Grants(wanted, self._devices, strangers=who.is_anonymous)


def _who(client_id: str, token: Token | None, certificate: tuple[str, str] | None) -> Who:
    """Return what the client is called by what it has shown."""
    users: list[str] = []
    devices: list[str] = []
    if token is not None:
        users.append(token.name)
        devices += token.devices
    if certificate is not None:
        fingerprint, name = certificate
        users.append(name or fingerprint)
        if is_plain(name):
            devices.append(name)
    return Who(client_id, tuple(users), tuple(devices))


def _principal(token: Token | None, certificate: tuple[str, str] | None) -> str:
    parts = [] if token is None else [f"token:{token.name}"]
    if certificate is not None:
        parts.append(f"certificate:{certificate[1] or certificate[0]}")
    return "/".join(parts) or ANONYMOUS


def _refuse(reason: ReasonCode, client_id: str, address: str) -> ReasonCode:
    _logger.warning(
        "client refused", reason=reason.name.lower(), client_id=client_id[:64], peer=address
    )
    return reason
