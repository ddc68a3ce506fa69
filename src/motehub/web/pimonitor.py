"""``POST /``: posts of sensors in the manner of pimonitor; ``docs/protocols/pimonitor.md``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import tzinfo
from typing import Final

import msgspec

from motehub.http_exchange import Exchange, Header, Request, Response, Take, plain, problem
from motehub.model import Delivery, Malformed, Receipt, Source, Token, derived_device_name
from motehub.protocols.pimonitor import Post, Refused, decode_post
from motehub.web.bodies import BodyError, unpack
from motehub.web.filing import NameOf

DIALECT: Final = "pimonitor"

_STORED: Final = "[%s] Successfully received and inserted into database."
_WAITS: Final = "[%s] Received. It is stored once the owner of this hub has accepted the device.\n"


class PimonitorRules(msgspec.Struct, frozen=True):
    """What the owner says of pimonitor's devices: their zones, and whether they need a key."""

    zone_of: Callable[[str], tzinfo]
    key_required: bool


BODY_LIMIT: Final = 65_536
"""Longest post in bytes: nobody has to show a token before it is read."""


class PimonitorHandler:
    """Takes posts; the device's key is known by its hash.

    ``find`` returns the token of such a hash; ``is_pending`` tells whether the device of an
    identity waits for approval.
    """

    def __init__(
        self,
        rules: PimonitorRules,
        find: Callable[[str, int], Token | None],
        name_of: NameOf,
        is_pending: Callable[[str], bool],
    ) -> None:
        self._rules = rules
        self._find = find
        self._name_of = name_of
        self._is_pending = is_pending

    body_limit = BODY_LIMIT

    def check(self, request: Request, now: int) -> None:
        """Return None: who posts is said in the body."""

    def prepare(self, request: Request, now: int) -> Take:
        """Return what takes the bodies behind this head; see ``http_exchange.Handler``."""
        return lambda body, now: self(msgspec.structs.replace(request, body=body), now)

    def __call__(self, request: Request, now: int) -> Exchange | Response:
        """Take a whole request; see :data:`motehub.http_exchange.Handler`."""
        try:
            body = unpack(request.body, request.header(b"content-encoding"), BODY_LIMIT)
        except BodyError as error:
            return refuse(request, error.status, str(error))
        post = decode_post(body, now, self._rules.zone_of)
        if isinstance(post, Refused):
            return self._reject(request, Malformed(post.payload, post.reason), 400, post.reason)
        source = self._source(request, post, now)
        if isinstance(source, tuple):
            status, reason = source
            return self._reject(request, Malformed(body[:200], reason), status, reason)
        return Exchange(
            [Delivery(source, post.records)],
            lambda receipts: self._answer(request, post, source, receipts[0]),
        )

    def _source(self, request: Request, post: Post, now: int) -> Source | tuple[int, str]:
        """Return who posts, or status and reason when nothing is taken from it."""
        name = derived_device_name(post.location)
        if post.api_hash is None:
            if self._rules.key_required:
                return 401, f"{post.location}: the post has no api_hash, and this hub wants one"
            # Whoever knows the name of a device that has a key must not write to it.
            identity = f"{DIALECT}.anonymous:{post.location}"
            return Source(DIALECT, identity, name, request.peer)
        token = self._find(post.api_hash, now)
        if token is None:
            return 401, f"{post.location}: the api_hash is not that of a token of this hub"
        identity = f"{DIALECT}:{post.location}"
        if not token.may_write(self._name_of(identity) or post.location):
            return 403, f"the token {token.name} may not write {post.location}"
        return Source(DIALECT, identity, name, request.peer, vouched=True)

    def _answer(self, request: Request, post: Post, source: Source, receipt: Receipt) -> Response:
        if not receipt.taken:
            reason = receipt.reason or "there is no reading in it"
            status = 403 if receipt.refused else 400
            return refuse(request, status, f"Nothing was stored of {post.location}: {reason}.")
        if self._is_pending(source.identity):
            return plain(202, _WAITS % post.timestamp)
        # To the letter, without a newline: programs look for it.
        return plain(200, _STORED % post.timestamp)

    def _reject(
        self, request: Request, record: Malformed, status: int, reason: str
    ) -> Exchange | Response:
        """Put what nobody can be held to into the list of rejected payloads, and say why."""
        nobody = Source(DIALECT, "", "", request.peer)

        def answer(_: Sequence[Receipt]) -> Response:
            return refuse(request, status, f"Nothing was stored: {reason.rstrip('.')}.")

        return Exchange([Delivery(nobody, [record])], answer)


def refuse(request: Request, status: int, detail: str) -> Response:
    """Return an error as the client accepts it: a problem document, or a line of text."""
    # RFC 9110 § 15.5.2: 401 names a scheme; this one is in the body, so it has no registered name.
    headers: tuple[Header, ...] = ((b"www-authenticate", b"api_hash"),) if status == 401 else ()
    accepts = request.header(b"accept")
    if b"json" in accepts and b"text/plain" not in accepts:
        return problem(status, "Nothing was stored", detail, *headers)
    return plain(status, f"{detail}\n", *headers)
