"""Routes of reports: what is sent to whom, previews, and how recipients leave."""

from __future__ import annotations

import asyncio
from datetime import tzinfo
from http import HTTPStatus
from typing import Annotated, Final, Literal
from urllib.parse import quote

import msgspec
from litestar import Response, delete, get, patch, post
from litestar.params import Body, PathParameter, QueryParameter
from msgspec import UNSET, Meta, UnsetType

from motehub.alerting import report_desk
from motehub.core.moments import iso, parse_moment
from motehub.core.reports import KeptReport, ReportBook
from motehub.errors import InvalidReport, MotehubError, OwnerError
from motehub.model import Scope
from motehub.reports.order import Made, Order, make_soon
from motehub.schedules.report import Period, Report, encode, report_of, to_fields
from motehub.schedules.times import next_due, usual_period
from motehub.web._api_access import (
    AnyRequest,
    ApiRequest,
    ReportMaking,
    check_not_held_back,
    needs,
    services_of,
)
from motehub.web._api_document import ADMIN, NAMED, UNSTORED, problems
from motehub.web._api_trials import TOO_MANY, trial
from motehub.web.problems import Problem, unavailable
from motehub.zones import find_zone

Name = Annotated[str, PathParameter(description="Name of the report.", max_length=200)]
Token = Annotated[str, PathParameter(description="Whose link it is.", max_length=200)]
_Texts = Annotated[list[str], Meta(max_length=100)]
_Since = Annotated[
    str | None,
    QueryParameter(name="from", description="Since when, ISO 8601 or as in -7d; else as usual."),
]
_Shape = Annotated[
    Literal["html", "txt", "pdf"],
    QueryParameter(name="format", description="What it is written as."),
]
_Limit = Annotated[
    int, QueryParameter(ge=1, le=report_desk.MOST_LETTERS, description="Most rows, newest first.")
]

PREVIEW_SECONDS: Final = 120.0
"""Longest time that a preview may take."""

_PREVIEW_POLICY: Final = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'; sandbox"
)


class ReportChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What changes of a report; null is no limit."""

    schedule: str | UnsetType = UNSET
    time_zone: str | UnsetType = UNSET
    language: str | UnsetType = UNSET
    recipients: _Texts | UnsetType = UNSET
    devices: _Texts | UnsetType = UNSET
    labels: _Texts | UnsetType = UNSET
    metrics: _Texts | UnsetType = UNSET
    period: Period | UnsetType = UNSET
    above: float | UnsetType | None = UNSET
    below: float | UnsetType | None = UNSET
    charts: bool | UnsetType = UNSET
    csv: bool | UnsetType = UNSET
    enabled: bool | UnsetType = UNSET


class NewReport(ReportChange, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A report to send."""

    name: str
    schedule: str


class Left(msgspec.Struct, frozen=True):
    """Who has left a report, and when."""

    recipient: str
    time: str


class ReportShape(msgspec.Struct, frozen=True, kw_only=True):
    """A report; ``origin`` says who has said it, which is configuration or added.

    ``next`` is when it is due, null if it is not sent, ``last`` when it was made last and what
    came of that. ``left`` are recipients who want it no more. Null is no limit.
    """

    name: str
    schedule: str
    time_zone: str
    language: str
    recipients: list[str]
    devices: list[str]
    labels: list[str]
    metrics: list[str]
    period: Period
    above: float | None
    below: float | None
    charts: bool
    csv: bool
    enabled: bool
    origin: str
    left: list[Left]
    next: str | None
    last: report_desk.Ran | None


class Recipient(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recipient who has left, as the report's list names them."""

    recipient: Annotated[str, Meta(max_length=300)]


class Leaving(msgspec.Struct, frozen=True):
    """Which report a link is for, and whether its recipient has left it."""

    report: str
    left: bool


@get("/reports", guards=[needs(Scope.ADMIN)], responses=problems(ADMIN), summary="List reports")
async def list_reports(request: ApiRequest) -> list[ReportShape]:
    """Return all reports, by name."""
    reports = services_of(request.app).hub.reports
    ran = await asyncio.to_thread(report_desk.runs, _making(request).folder)
    return [_shape(request, one, reports.book, ran) for one in reports.all()]


@get(
    "/reports/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    summary="Show a report",
)
async def show_report(request: ApiRequest, name: Name) -> ReportShape:
    """Return one report."""
    return await _shown(request, services_of(request.app).hub.reports.get(name))


@post(
    "/reports",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | UNSTORED),
    summary="Add a report",
)
async def add_report(
    request: ApiRequest, data: Annotated[NewReport, Body(description="The report.")]
) -> ReportShape:
    """Send a report from now on."""
    report, hub = report_of(msgspec.to_builtins(data)), services_of(request.app).hub
    check_not_held_back(hub)
    return await _shown(request, await hub.reports.add(report))


@patch(
    "/reports/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Change a report",
)
async def change_report(
    request: ApiRequest,
    name: Name,
    data: Annotated[ReportChange, Body(description="What changes.")],
) -> ReportShape:
    """Change what is given."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    return await _shown(request, await hub.reports.change(name, msgspec.to_builtins(data)))


@delete(
    "/reports/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    summary="Remove a report",
)
async def remove_report(request: ApiRequest, name: Name) -> None:
    """Send it no more."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.reports.remove(name)


@post(
    "/reports/{name:str}/send",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED | TOO_MANY),
    status_code=202,
    summary="Send a report now",
)
async def send_report(request: ApiRequest, name: Name) -> None:
    """Send it once, at once, about as long a time as usual until now."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    with trial(request, f"report {name}"):
        await hub.reports.order(name)


@post(
    "/reports/{name:str}/recipients",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED | UNSTORED),
    status_code=200,
    summary="Send a report again to who has left",
)
async def bring_back(
    request: ApiRequest, name: Name, data: Annotated[Recipient, Body(description="To whom.")]
) -> ReportShape:
    """Send it again to a recipient who has left it."""
    hub = services_of(request.app).hub
    check_not_held_back(hub)
    await hub.reports.bring_back(name, data.recipient)
    return await _shown(request, hub.reports.get(name))


@get(
    "/reports/{name:str}/preview",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN | NAMED),
    media_type="text/html",
    summary="Look at a report",
)
async def preview_report(
    request: ApiRequest, name: Name, since: _Since = None, shape: _Shape = "html"
) -> Response[bytes]:
    """Return a report about the time until now as a page, as text or as PDF.

    It runs no script and loads nothing, whatever devices are called.
    """
    kept = services_of(request.app).hub.reports.get(name)
    made = await _preview(request, kept, since, shape)
    # A browser's own viewer of PDF does not run in a sandbox.
    policy = _PREVIEW_POLICY.removesuffix("; sandbox") if shape == "pdf" else _PREVIEW_POLICY
    return Response(
        made.content,
        media_type=_MEDIA_TYPES[shape],
        headers={"Content-Security-Policy": policy, "Referrer-Policy": "no-referrer"},
    )


@get(
    "/report-letters",
    guards=[needs(Scope.ADMIN)],
    responses=problems(ADMIN),
    summary="List letters of reports",
)
async def list_letters(
    request: ApiRequest,
    report: Annotated[str | None, QueryParameter(description="Only those of one report.")] = None,
    limit: _Limit = 100,
) -> list[report_desk.LetterShape]:
    """Return the letters of reports, newest first, with what became of them."""
    folder = _making(request).folder
    return await asyncio.to_thread(report_desk.letters, folder, limit, report)


@get(
    "/unsubscribe/{token:str}",
    responses=problems(NAMED),
    status_code=303,
    summary="Ask whether to leave a report",
)
async def ask_to_leave(request: AnyRequest, token: Token) -> Response[None]:
    """Lead to a page with a button; programs that look at links ahead of people change nothing."""
    # The page also says when the link leads nowhere: who reads mail has no use for JSON.
    return Response(None, status_code=303, headers={"Location": f"/unsubscribe#{quote(token)}"})


@get(
    "/unsubscribe/{token:str}/report", responses=problems(NAMED), summary="Tell what a link leaves"
)
async def show_leaving(request: AnyRequest, token: Token) -> Leaving:
    """Return which report is left with a link, to whoever has it."""
    reports = services_of(request.app).hub.reports
    name, recipient = reports.whose(token)
    return Leaving(name, recipient in reports.book.left.get(name, {}))


@post(
    "/unsubscribe/{token:str}",
    responses=problems(NAMED | UNSTORED),
    status_code=200,
    summary="Leave a report",
)
async def leave_report(request: AnyRequest, token: Token) -> Leaving:
    """Send a report no more to whose link it is: the POST of RFC 8058, without any log-in."""
    hub = services_of(request.app).hub
    hub.reports.whose(token)
    check_not_held_back(hub)
    name, _ = await hub.reports.leave(token)
    return Leaving(name, left=True)


_MEDIA_TYPES: Final = {
    "html": "text/html",
    "txt": "text/plain",
    "pdf": "application/pdf",
}


async def _preview(request: ApiRequest, kept: KeptReport, since: str | None, shape: str) -> Made:
    making, report = _making(request), kept.report
    now = services_of(request.app).clock()
    zone = _zone(request, report)
    begin, end = usual_period(report.period, report.schedule, zone, now)
    if since is not None:
        begin, end = parse_moment(since, now), now
        if begin >= end:
            raise InvalidReport("from must be in the past.")
    if making.room.locked():
        raise unavailable("Another report is being made. Try again in a moment.", 5)
    async with making.room:
        try:
            return await make_soon(
                Order(
                    str(making.folder),
                    making.store,
                    encode(report),
                    begin,
                    end,
                    zone=report.time_zone or making.zone,
                    hub=making.hub,
                    language=making.language,
                    wants=shape,
                ),
                making.environment,
                PREVIEW_SECONDS,
            )
        except OwnerError:
            raise
        except MotehubError as error:
            raise Problem(
                HTTPStatus.SERVICE_UNAVAILABLE, "The report can't be made", str(error)
            ) from error


async def _shown(request: ApiRequest, kept: KeptReport) -> ReportShape:
    ran = await asyncio.to_thread(report_desk.runs, _making(request).folder)
    return _shape(request, kept, services_of(request.app).hub.reports.book, ran)


def _shape(
    request: ApiRequest, kept: KeptReport, book: ReportBook, ran: dict[str, report_desk.Ran]
) -> ReportShape:
    report = kept.report
    due: int | None = None
    if report.enabled:
        now = services_of(request.app).clock()
        due = next_due(report.schedule, _zone(request, report), now)
    left = [
        Left(one, iso(time))
        for one, time in sorted(book.left.get(report.name, {}).items())
        if one in report.recipients
    ]
    fields = to_fields(report) | {"origin": kept.origin, "left": left}
    fields |= {"next": None if due is None else iso(due), "last": ran.get(report.name)}
    return msgspec.convert(fields, ReportShape, from_attributes=True)


def _zone(request: ApiRequest, report: Report) -> tzinfo:
    return find_zone(report.time_zone) if report.time_zone else services_of(request.app).zone


def _making(request: ApiRequest) -> ReportMaking:
    making = services_of(request.app).reports
    assert making is not None, "a hub with an API has a data folder"
    return making
