"""Requests about reports, over the control socket."""

from __future__ import annotations

from typing import Any

import msgspec

from motehub.core.hub import Hub
from motehub.core.moments import iso
from motehub.core.reports import KeptReport, ReportBook
from motehub.schedules.report import report_of, to_fields


class ListReports(msgspec.Struct, frozen=True, tag="list_reports"):
    """Tell which reports there are."""


class AddReport(msgspec.Struct, frozen=True, tag="add_report"):
    """Send a report from now on; ``fields`` are those of ``motehub.schedules.report.Report``."""

    fields: dict[str, Any]


class ChangeReport(msgspec.Struct, frozen=True, tag="change_report"):
    """Change ``fields`` of a report."""

    name: str
    fields: dict[str, Any]


class RemoveReport(msgspec.Struct, frozen=True, tag="remove_report"):
    """Send it no more."""

    name: str


class SendReport(msgspec.Struct, frozen=True, tag="send_report"):
    """Send it once, at once."""

    name: str


class BringBack(msgspec.Struct, frozen=True, tag="bring_back"):
    """Send a report again to a recipient who has left it."""

    name: str
    recipient: str


ReportRequest = ListReports | AddReport | ChangeReport | RemoveReport | SendReport | BringBack


async def carry_out_for_reports(hub: Hub, request: ReportRequest) -> dict[str, Any]:
    """Do what ``request`` asks and return what the owner is told.

    Raises:
        OwnerError: it can't be done.
    """
    reports = hub.reports
    match request:
        case ListReports():
            return {"reports": [show_report(one, reports.book) for one in reports.all()]}
        case AddReport(fields):
            return show_report(await reports.add(report_of(fields)), reports.book)
        case ChangeReport(name, fields):
            return show_report(await reports.change(name, fields), reports.book)
        case RemoveReport(name):
            await reports.remove(name)
        case SendReport(name):
            return {"ordered": await reports.order(name)}
        case BringBack(name, recipient):
            await reports.bring_back(name, recipient)
    return {}


def show_report(kept: KeptReport, book: ReportBook) -> dict[str, Any]:
    """Return a report as people and programs see it: its fields, who has said it, who has left."""
    left = book.left.get(kept.report.name, {})
    return {
        **to_fields(kept.report),
        "origin": kept.origin,
        "left": [
            {"recipient": one, "time": iso(time)}
            for one, time in sorted(left.items())
            if one in kept.report.recipients
        ],
    }
