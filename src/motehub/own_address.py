"""Where people find the hub: the addresses of its listeners, as they are written."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from motehub.contracts import Listener
from motehub.security.addresses import this_host


def shown_address(listener: Listener) -> str:
    """Return host and port."""
    host = f"[{listener.host}]" if ":" in listener.host else listener.host
    return f"{host}:{listener.port}"


def own_link(listeners: Mapping[str, Listener]) -> str | None:
    """Return the address of the hub's pages, by one of this machine; None where it has none."""
    if (listener := listeners.get("web")) is None:
        return None
    scheme = "https" if listener.tls else "http"
    return f"{scheme}://{shown_address(_reachable(listener))}"


def _reachable(listener: Listener) -> Listener:
    """Return the listener by an address of this machine, where it listens on all of them."""
    if listener.host not in {"0.0.0.0", "::"}:  # noqa: S104 - compared, not bound
        return listener
    outside = next(iter(this_host().addresses), "127.0.0.1")
    return msgspec.structs.replace(listener, host=str(outside))
