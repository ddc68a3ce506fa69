"""``PUT /webhook/update-unit/{unit}/{value}``: what base units send to their dashboard."""

from __future__ import annotations

import math
import re
from array import array
from collections.abc import Callable
from typing import Final
from urllib.parse import unquote_to_bytes

from motehub.contracts import Acceptor, KnownDevices
from motehub.errors import StorageError
from motehub.http_exchange import Request, Response, problem
from motehub.logs import Logger, OccasionalLogger
from motehub.model import (
    MICROSECONDS,
    Admission,
    Clock,
    Delivery,
    Record,
    Samples,
    Scope,
    Source,
    Texts,
    Token,
    derived_device_name,
)
from motehub.units import UnitDesk, unit_key
from motehub.web.access import FindToken, secret_of
from motehub.web.intake import too_busy

PREFIX: Final = "/webhook/update-unit/"
DIALECT: Final = "units"
METRIC: Final = "value"
VALUE_BYTES: Final = 4_096
"""Longest value in bytes."""

_IDENTITY: Final = "unit:"
_NUMBER: Final = re.compile(
    r"[+-]?(?:[0-9]{1,300}\.?[0-9]{0,300}|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?"
)
_AHEAD: Final = 5 * MICROSECONDS
_CHALLENGE: Final = (b"www-authenticate", b"Bearer")
# A base unit sets aside what this unit says, and goes on with others.
_THIS_UNIT: Final = (b"motehub-refused", b"unit")

_occasional = OccasionalLogger(Logger("motehub.web"))


class UnitsWebhook:
    """Takes readings of units that other hubs, or the original base units, pass on.

    What the owner says of a unit holds for them: ``units`` knows that, where units are looked
    after. ``mark`` tells this hub from others: what it has sent itself would go round for ever.
    ``clock`` returns UTC microseconds.
    """

    def __init__(
        self,
        hub: Acceptor,
        devices: KnownDevices,
        find: FindToken,
        units: UnitDesk | None,
        mark: str,
        clock: Callable[[], int],
    ) -> None:
        self._hub = hub
        self._devices = devices
        self._find = find
        self._units = units
        self._mark = mark
        self._clock = clock

    async def answer(self, request: Request, raw_path: str) -> Response:
        """Return what answers a request, once its reading is durable.

        ``raw_path`` is the path as it was sent, in which a slash of the value is ``%2F``.
        """
        now = self._clock()
        token = self._token(request, now)
        if isinstance(token, Response):
            return token
        if request.header(b"motehub-hub") == self._mark.encode():
            _occasional.warning("this hub is its own dashboard", peer=request.peer)
            detail = "The reading comes from this hub itself: its api_url leads to itself."
            return problem(508, "Loop", detail)
        words = raw_path.removeprefix(PREFIX).split("/")
        if len(words) != 2 or not all(words):
            detail = f"The path must be {PREFIX}UNIT/VALUE; a slash of the value is written %2F."
            return problem(404, "Not found", detail)
        try:
            name, value = (unquote_to_bytes(word).decode() for word in words)
        except UnicodeDecodeError:
            return problem(400, "Nothing was stored", "Unit and value must be UTF-8.")
        if len(value.encode()) > VALUE_BYTES:
            detail = f"The value may have {VALUE_BYTES} bytes."
            return problem(414, "Nothing was stored", detail)
        source = self._source(name, request.peer)
        if source is None:
            detail = f"{name!r:.100} is neither the IP address of a unit nor the name of one."
            return problem(404, "Unknown unit", detail)
        if not token.may_write(self._name_of(source)):
            detail = f"The token {token.name} may not write {name!r:.100}."
            return problem(403, "Not allowed", detail, _THIS_UNIT)
        if (reason := self._hub.held_back) is not None:
            return too_busy(reason)
        return await self._take(
            Delivery(source, self._records(source, value, *_time(request, now)))
        )

    async def _take(self, delivery: Delivery) -> Response:
        try:
            (receipt,) = await self._hub.accept([delivery])
        except StorageError as error:
            return too_busy(str(error))
        if receipt.taken:
            return Response(204)
        detail = f"{(receipt.reason or 'the reading was rejected').rstrip('.')}."
        device = self._devices.by_identity(delivery.source.identity)
        is_welcome = device is not None and device.admission is Admission.ACCEPTED
        # The next reading of this unit may be a better one.
        if is_welcome:
            return problem(422, "Nothing was stored", detail)
        return problem(403, "Nothing was stored", detail, _THIS_UNIT)

    def _records(self, source: Source, value: str, moment: int, clock: Clock) -> list[Record]:
        key = source.identity.removeprefix(_IDENTITY)
        known = self._units.passed_on(key, value, moment, clock) if self._units else None
        return [_record(value, moment, clock)] if known is None else known

    def _token(self, request: Request, now: int) -> Token | Response:
        secret = secret_of(request.headers)
        token = self._find(secret, now) if secret else None
        if token is None:
            detail = "Send a token that is good: Authorization: Bearer TOKEN."
            return problem(401, "Not authorised", detail, _CHALLENGE)
        if not token.allows(Scope.WRITE):
            return problem(403, "Not allowed", f"The token {token.name} has no scope write.")
        return token

    def _source(self, name: str, peer: str) -> Source | None:
        """Return whose reading it is: that of an address, or of a unit that is called so."""
        key = unit_key(name)
        if key is not None:
            identity = _IDENTITY + key
            return Source(DIALECT, identity, derived_device_name(key), peer, vouched=True)
        if not self._devices.has_name(name):
            return None
        device = self._devices.by_name(name)
        identity = next((one for one in device.identities if one.startswith(_IDENTITY)), "")
        return Source(DIALECT, identity, name, peer, vouched=True) if identity else None

    def _name_of(self, source: Source) -> str:
        device = self._devices.by_identity(source.identity)
        return device.name if device is not None else source.suggested_name


def _record(value: str, moment: int, clock: Clock) -> Record:
    if _NUMBER.fullmatch(value.strip()) and math.isfinite(number := float(value)):
        return Samples(METRIC, "", array("q", [moment]), array("d", [number]), clock)
    return Texts(METRIC, array("q", [moment]), [value], clock)


def _time(request: Request, now: int) -> tuple[int, Clock]:
    """Return when the reading was made, as far as the sender says so, and whose clock that is."""
    text = request.header(b"motehub-time")
    if text.isdigit() and len(text) <= 16 and 0 < (moment := int(text)) <= now + _AHEAD:
        return moment, Clock.DEVICE
    return now, Clock.HUB
