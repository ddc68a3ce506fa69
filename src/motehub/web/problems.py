"""Errors as problem documents (RFC 9457): what happened, to what, what to do."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

import msgspec

from motehub.errors import MotehubError

MEDIA_TYPE: Final = "application/problem+json"


class Problem(MotehubError):
    """A request that is not fulfilled; ``headers`` go with the answer."""

    def __init__(
        self, status: int, title: str, detail: str, headers: Mapping[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.title = title
        self.detail = detail
        self.headers = dict(headers or {})

    @property
    def document(self) -> ProblemDocument:
        """What the client gets."""
        return ProblemDocument(self.title, self.status, self.detail)


class ProblemDocument(msgspec.Struct, frozen=True):
    """A problem document of RFC 9457 whose ``type`` is ``about:blank``: the status says it."""

    title: str
    status: int
    detail: str


def unavailable(detail: str, seconds: int = 1, title: str = "Not available now") -> Problem:
    """Return a problem after which the client may try again in ``seconds``."""
    return Problem(
        HTTPStatus.SERVICE_UNAVAILABLE, title, detail, {"Retry-After": str(max(1, seconds))}
    )
