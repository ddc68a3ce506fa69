"""The process of a report: reads the history, sums up, draws and writes; then it ends.

Who wants a report starts it as ``python -m motehub.report`` (:mod:`motehub.reports.order`), with
the address of the store in the environment (``STORE_URL`` of :mod:`motehub.following`).
"""

from __future__ import annotations

import os
import sys
from base64 import b64encode
from collections.abc import Mapping
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo

import msgspec

from motehub import parts
from motehub.alerting import desk
from motehub.archive.history import WholeHistory
from motehub.archived import Raw
from motehub.core.calibrations import Calibrations, spared_of
from motehub.core.history import wait_until_folded
from motehub.core.moments import parse_moment
from motehub.core.profiles import Profiles
from motehub.core.rules import RuleBook, facts_of
from motehub.errors import MotehubError, OwnerError
from motehub.following import STORE_URL
from motehub.history_contract import HistoryStore
from motehub.journals.sqlite import SqliteLogReader
from motehub.languages import Words
from motehub.reports import page, plain, sheet
from motehub.reports.contents import AlertPart, Contents, Remark
from motehub.reports.order import Made, Order
from motehub.reports.summary import Known, Selection, select, summarise
from motehub.reports.words import Phrases
from motehub.schedules.report import Report, decode
from motehub.zones import zone_of

_FOLD_SECONDS: Final = 20.0
_NICENESS: Final = 10
# More than are kept.
_MOST_ALERTS: Final = 100_000


def main() -> int:
    """Make the report on standard input; return the exit code, 0 or 1."""
    # What devices say comes first, and so do alerts.
    os.nice(_NICENESS)
    try:
        order = msgspec.msgpack.decode(sys.stdin.buffer.read(), type=Order)
        made = make_report(order, os.environ.get(STORE_URL, ""))
        sys.stdout.buffer.write(msgspec.msgpack.encode(made))
        sys.stdout.buffer.flush()
    except MotehubError as error:
        sys.stderr.write(f"{' '.join(str(error).split())}\n")
        return 1
    except BrokenPipeError:
        # Nobody waits for it any more.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except Exception as error:
        # The edge of a process: the parent shows this line, so it has to be a sentence.
        reason = " ".join(str(error).split())
        sys.stderr.write(f"The report could not be made: {type(error).__name__}: {reason}\n")
        return 1
    return 0


def make_report(order: Order, url: str) -> Made:
    """Make a report in this process from the store at ``url``.

    Raises:
        MotehubError: it can't be made now.
    """
    folder, report = Path(order.folder), decode(order.report)
    reader = SqliteLogReader(folder)
    state = reader.state()
    store = parts.store(order.store).open(folder, url, True)
    try:
        complete = wait_until_folded(store, reader, _FOLD_SECONDS)
        known = _known(state, folder, order)
        selection = select(store, report, known.said)
        zone = zone_of(order.zone)
        span = (order.since, order.until)
        raw = WholeHistory(store, folder)
        contents = summarise(store, raw, report, selection, known, span, order.hub, zone)
        if not complete:
            contents = _with_remark(contents, Remark("newest"))
        return _written(order, report, contents, store, raw, selection, complete=complete)
    finally:
        store.close()
        reader.close()


def _known(state: Mapping[str, bytes], folder: Path, order: Order) -> Known:
    rules = [one.rule for one in RuleBook.from_state(state).rules.values() if one.rule.enabled]
    alerts = [
        AlertPart(one.device, one.text, one.severity, began, ended, one.own_words)
        for one in desk.alerts(folder, _MOST_ALERTS, is_open=False)
        if (began := parse_moment(one.began, 0)) < order.until
        and ((ended := _moment(one.ended)) is None or ended >= order.since)
    ]
    spared = spared_of(Calibrations.from_state(state).all())
    return Known(rules, facts_of(Profiles.from_state(state)), alerts, spared)


def _moment(text: str | None) -> int | None:
    return None if text is None else parse_moment(text, 0)


def _written(
    order: Order,
    report: Report,
    contents: Contents,
    store: HistoryStore,
    raw: Raw,
    selection: Selection,
    *,
    complete: bool,
) -> Made:
    zone = zone_of(order.zone)
    words = Words(report.language or order.language)
    say = Phrases(words, zone)
    subject = say.subject(contents)
    if not order.mail and order.wants == "txt":
        text = plain.text_of(contents, say) + plain.ending(words, order.hub, order.link, "")
        return Made(subject, content=text.encode(), complete=complete)
    pictures, contents = _pictures(contents, zone, say)
    if not order.mail and order.wants == "pdf":
        return Made(subject, content=_pdf(contents, pictures, say), complete=complete)
    names = [f"chart{number}" for number in range(len(pictures))]
    if not order.mail:
        addresses = [f"data:image/png;base64,{b64encode(one).decode()}" for one in pictures]
        html = page.opening(contents, say, addresses, order.link)
        html += page.closing(words, order.hub, order.link, "")
        return Made(subject, content=html.encode(), complete=complete)
    table = None
    if report.csv:
        made = sheet.sheet_of(store, raw, selection, contents)
        contents = _with_remark(contents, Remark("attached", rows=made.rows))
        table = made.content
    html = page.opening(contents, say, [f"cid:{one}" for one in names], order.link)
    return Made(
        subject,
        text=plain.text_of(contents, say),
        html=html,
        pictures=tuple(zip(names, pictures, strict=True)),
        sheet=table,
        complete=complete,
    )


def _pictures(contents: Contents, zone: ZoneInfo, say: Phrases) -> tuple[list[bytes], Contents]:
    """Return the charts as pictures; without matplotlib none, and a remark that says so."""
    if not contents.charts:
        return [], contents
    try:
        from motehub.reports import sketches
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("motehub"):
            raise
        return [], _with_remark(contents, Remark("no_charts"))
    return sketches.draw_all(contents.charts, contents.since, contents.until, zone, say), contents


def _pdf(contents: Contents, pictures: list[bytes], say: Phrases) -> bytes:
    try:
        from motehub.reports.pdf import pages
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("motehub"):
            raise
        raise OwnerError(
            f"PDF needs {error.name}, which is not installed: pip install 'motehub[reports]'"
        ) from error
    return pages(contents, pictures, say)


def _with_remark(contents: Contents, remark: Remark) -> Contents:
    return msgspec.structs.replace(contents, remarks=(*contents.remarks, remark))


if __name__ == "__main__":
    sys.exit(main())
