"""Routes of the order in which somebody wants to see the devices."""

from __future__ import annotations

from typing import Annotated

import msgspec
from litestar import get, put
from litestar.params import Body

from motehub.core.hub import Hub
from motehub.web._api_access import (
    AnyRequest,
    check_not_held_back,
    logged_in_browser,
    services_of,
)
from motehub.web._api_document import LOGGING_IN, UNSTORED, problems

MOST_ARRANGED = 5_000


class Arrangement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Names of devices in the order in which somebody wants to see them."""

    devices: Annotated[list[str], msgspec.Meta(max_length=MOST_ARRANGED)]


@get("/session/arrangement", responses=problems(LOGGING_IN), summary="Show one's own order")
async def show_arrangement(request: AnyRequest) -> Arrangement:
    """Return the order of devices of whoever is logged in; it may lack some."""
    hub = services_of(request.app).hub
    return _shown(hub, logged_in_browser(request).user)


@put(
    "/session/arrangement",
    responses=problems(LOGGING_IN | UNSTORED),
    summary="Choose one's own order",
)
async def arrange_devices(
    request: AnyRequest, data: Annotated[Arrangement, Body(description="The order.")]
) -> Arrangement:
    """Keep the order of devices of whoever is logged in; names that there are not are left out."""
    hub = services_of(request.app).hub
    user = logged_in_browser(request).user
    check_not_held_back(hub)
    names = [name for name in dict.fromkeys(data.devices) if hub.registry.has_name(name)]
    await hub.accounts.arrange(user, [hub.registry.by_name(name).id for name in names])
    return _shown(hub, user)


def _shown(hub: Hub, user: str) -> Arrangement:
    known = {device.id: device.name for device in hub.registry.devices()}
    order = hub.accounts.people.order_of(user)
    return Arrangement([known[one] for one in order if one in known])
