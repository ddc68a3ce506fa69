"""The short way of a body of numbers whose series are all known: straight into the journal."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from functools import partial
from typing import Any, Final

import msgspec

from motehub.core.registry import Registry
from motehub.http_exchange import Exchange, Response
from motehub.model import Delivery, Known, Receipt, Runs, Source, Token
from motehub.web.filing import IDENTITY, MOST_DEVICES, Filing, NameOf, Outcome, may_write

REMEMBERED: Final = 20_000
"""Series that are remembered by what bodies call them, all tokens together."""

_ANYBODY: Final = Source("", "", "", "")

ReadKey = Callable[[Any], tuple[str | None, str, str] | None]
"""Returns device, metric and unit of what a body calls a series, None where it has a fault."""


class SeriesTable(dict[Any, int]):
    """Ids of series by what bodies call them; it looks for those that it does not have yet.

    All of them were right at ``edition`` of the registry, for bodies with ``token``.
    """

    def __init__(self, edition: int, token: Token, find: Callable[[Any], int]) -> None:
        super().__init__()
        self.edition = edition
        self.token = token
        self._find = find

    def __missing__(self, key: Hashable) -> int:
        """Find a series.

        Raises:
            KeyError: it is not known, or may not be written to.
        """
        number = self[key] = self._find(key)
        return number


class KnownSeries:
    """Which series the bodies of a dialect are about, for as long as that stays as it is.

    It may be asked from any thread.
    """

    def __init__(self, registry: Registry, read: ReadKey, name_of: NameOf) -> None:
        self._registry = registry
        self._read = read
        self._name_of = name_of
        self._tables: dict[tuple[bytes, str | None], SeriesTable] = {}
        self._remembered = 0

    def table(self, token: Token, default: str | None) -> SeriesTable:
        """Return the series that ``token`` may write to; what names no device is ``default``'s."""
        edition = self._registry.edition
        table = self._tables.get((token.digest, default))
        if table is None or table.edition != edition or table.token is not token:
            table = SeriesTable(edition, token, partial(self._find, token, default))
            self._remember()
            self._tables[token.digest, default] = table
        return table

    def _find(self, token: Token, default: str | None, key: Hashable) -> int:
        read = self._read(key)
        if read is None:
            raise KeyError(key)
        named, metric, unit = read
        device = named or default
        if device is None or not may_write(token, device, self._name_of):
            raise KeyError(key)
        series = (self._registry.open_gauges(IDENTITY + device) or {})[metric]
        if series.unit != unit and series.unit and unit:
            raise KeyError(key)
        self._remember()
        return series.id

    def _remember(self) -> None:
        """Count one thing more; when there are too many, forget all."""
        if self._remembered >= REMEMBERED:
            self._tables, self._remembered = {}, 0
        self._remembered += 1


def exchange(
    runs: Runs | None,
    table: SeriesTable,
    file: Callable[[Token], Filing],
    respond: Callable[[Outcome], Response],
) -> Exchange:
    """Return the exchange of a body that amounts to ``runs``, or for which ``file`` is needed.

    ``file`` returns what the long way makes of the body when the token sends it.
    """
    if runs is not None and (
        len(runs.series) <= MOST_DEVICES or len(set(runs.series)) <= MOST_DEVICES
    ):
        short = _Short(table.token, file, respond)
        known = Known(runs, table.edition, short.file)
        return Exchange([Delivery(_ANYBODY, [], known)], short.answer)
    filing = file(table.token)
    return Exchange(filing.deliveries, lambda receipts: respond(filing.outcome(receipts)))


class _Short:
    """A body on the short way, which has to go the long one if the registry changes meanwhile."""

    __slots__ = ("_file", "_filing", "_respond", "_token")

    def __init__(
        self,
        token: Token,
        file: Callable[[Token], Filing],
        respond: Callable[[Outcome], Response],
    ) -> None:
        self._token = token
        self._file = file
        self._respond = respond
        self._filing: Filing | None = None

    def file(self) -> list[Delivery]:
        """Return the deliveries of the long way."""
        # That the sender may write all this was found when it arrived, under the names of then.
        self._filing = self._file(msgspec.structs.replace(self._token, devices=()))
        return self._filing.deliveries

    def answer(self, receipts: Sequence[Receipt]) -> Response:
        """Return what answers the body."""
        (receipt,) = receipts
        if self._filing is None:
            return self._respond(Outcome(receipt.taken))
        return self._respond(self._filing.outcome(receipt.parts))
