"""Paths of the web port at which a connection goes on as something else than HTTP."""

from __future__ import annotations

from asyncio import Transport
from collections.abc import Callable, Mapping

from motehub.conversations import Successor, plain_address
from motehub.web.proxies import Proxies

SucceedWith = Callable[[Callable[[], None]], Successor]
"""Makes a successor, which calls the argument when the connection is lost."""


class Upgrades:
    """Who takes which connection: those that begin with a GET of one of ``paths``, and all others.

    A path that ends with a slash stands for all that begin so. Who takes such a connection also
    refuses what asks for no upgrade. It is that of whom the owner's ``proxies`` name, where the
    peer is one of them.
    """

    def __init__(
        self,
        paths: Mapping[str, SucceedWith],
        others: SucceedWith,
        proxies: Proxies = Proxies(()),  # noqa: B008 - never changed
    ) -> None:
        self.proxies = proxies
        self._paths = {f"GET {path}".encode(): succeed for path, succeed in paths.items()}
        self._others = others

    @property
    def beginnings(self) -> tuple[bytes, ...]:
        """How the requests begin that go elsewhere; the next byte shows where the path ends."""
        return tuple(self._paths)

    def succeed(self, left: Callable[[], None]) -> Successor:
        """Return the successor of a connection; ``left`` is called once that is lost."""
        return _Fork(self, left)

    def choose(self, data: bytes) -> SucceedWith:
        """Return who takes the connection whose peer has said ``data``."""
        for beginning, succeed in self._paths.items():
            ends = (b"",) if beginning.endswith(b"/") else (b" ", b"?")
            if data.startswith(tuple(beginning + end for end in ends)):
                return succeed
        return self._others


class _Fork:
    def __init__(self, upgrades: Upgrades, left: Callable[[], None]) -> None:
        self._upgrades = upgrades
        self._left = left
        self._chosen: Successor | None = None

    def begin(self, transport: Transport, data: bytes, address: str | None = None) -> None:
        self._chosen = self._upgrades.choose(data)(self._left)
        if address is None and (peer := transport.get_extra_info("peername")):
            address = self._upgrades.proxies.before(plain_address(peer[0]), data)
        self._chosen.begin(transport, data, address)

    def finish(self) -> None:
        if self._chosen is not None:
            self._chosen.finish()
