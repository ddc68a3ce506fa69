"""The route of what happens now."""

from __future__ import annotations

import re
from typing import Annotated, Final

from litestar import get
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import HeaderParameter, QueryParameter
from litestar.types import ASGIApp

from motehub.model import Scope
from motehub.web._api_access import ApiRequest, check_may_read, needs, services_of
from motehub.web._api_document import NAMED, READING, problems

_MOST_DEVICES: Final = 100
_POSITION: Final = re.compile("[0-9]{1,18}")


@get(
    "/stream",
    guards=[needs(Scope.READ)],
    responses={
        200: ResponseSpec(
            str,
            generate_examples=False,
            media_type="text/event-stream",
            description="Events as they happen, until the client goes: docs/api.md lists them.",
        ),
        **problems({**READING, **NAMED, 503: "Too many streams are open."}),
    },
    summary="Look on",
)
async def stream(
    request: ApiRequest,
    device: Annotated[
        list[Annotated[str, QueryParameter(max_length=200)]] | None,
        QueryParameter(
            description="A device, once or more often; without it all that the token may see.",
            max_items=_MOST_DEVICES,
        ),
    ] = None,
    last: Annotated[
        str,
        HeaderParameter(
            name="Last-Event-ID",
            description="Id of the last event that was heard of: go on there.",
            max_length=64,
        ),
    ] = "",
) -> ASGIApp:
    """Send what devices say and what becomes of them from now on."""
    services = services_of(request.app)
    for name in device or ():
        check_may_read(request.auth, name)
        services.hub.registry.by_name(name)
    after = int(last) if _POSITION.fullmatch(last) else None
    return services.streams.stream(request.auth, frozenset(device) if device else None, after)
