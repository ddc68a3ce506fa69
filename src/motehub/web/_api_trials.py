"""How often somebody may have a test or a report sent: each one is a message to others."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Final

from motehub.errors import OwnerError
from motehub.web._api_access import ApiRequest, services_of
from motehub.web.problems import Problem

TOO_MANY: Final = {429: "Too many were sent; Retry-After says when the next one may be."}
"""What a route says of itself that uses ``trial``."""


@contextmanager
def trial(request: ApiRequest, channel: str) -> Iterator[None]:
    """Count what goes out through ``channel``, unless it is refused.

    Raises:
        Problem: too many were sent there of late, or by whoever asks.
    """
    services = services_of(request.app)
    token = request.auth
    # A token may be called like a person.
    is_person = services.hub.accounts.people.has(token)
    who = f"{'person' if is_person else 'token'} {token.name}"
    if wait := services.trials.begin(who, channel):
        seconds = math.ceil(wait)
        raise Problem(
            HTTPStatus.TOO_MANY_REQUESTS,
            "Too many messages",
            "Many messages were sent already. Look whether they have arrived; another one may be "
            f"sent in {seconds} s.",
            {"Retry-After": str(seconds)},
        )
    try:
        yield
    except OwnerError:
        # There is no such channel, or none was sent for another reason.
        services.trials.forgive(who, channel)
        raise
