"""The HTTP API under ``/api``: what the history holds, and the owner's decisions."""

from __future__ import annotations

from http import HTTPStatus
from typing import Final

import msgspec
from litestar import Litestar, Request, Response, Router, get
from litestar.datastructures import State
from litestar.exceptions import HTTPException, ValidationException
from litestar.types import Message, Scope

from motehub.errors import (
    MotehubError,
    OwnerError,
    StorageError,
    UnknownAlert,
    UnknownCommand,
    UnknownDevice,
    UnknownReport,
    UnknownRule,
    UnknownToken,
    UnknownUnit,
    UnknownUser,
    UnknownWebhook,
    WrongPassword,
)
from motehub.logs import Logger
from motehub.web import _api_alerts as alerts
from motehub.web import _api_arrangement as arrangement
from motehub.web import _api_audit as audit
from motehub.web import _api_backups as backups
from motehub.web import _api_calibration as calibration
from motehub.web import _api_certificates as certificates
from motehub.web import _api_commands as commands
from motehub.web import _api_connect as connect
from motehub.web import _api_devices as devices
from motehub.web import _api_export as export
from motehub.web import _api_mail as mail
from motehub.web import _api_people as people
from motehub.web import _api_quality as quality
from motehub.web import _api_readings as readings
from motehub.web import _api_reports as reports
from motehub.web import _api_retention as retention
from motehub.web import _api_sessions as sessions
from motehub.web import _api_settings as settings
from motehub.web import _api_stream as live
from motehub.web import _api_tokens as tokens
from motehub.web import _api_units as units
from motehub.web import _api_webhooks as webhooks
from motehub.web._api_access import ApiServices, not_logged_in
from motehub.web._api_document import PATH, configuration, document
from motehub.web.access import NO_PAGE
from motehub.web.problems import MEDIA_TYPE, Problem, unavailable

__all__ = ["ApiServices", "make_api"]

BODY_BYTES: Final = 64 * 1024
"""Longest body of a request to these routes, in which nobody sends readings."""

_SECURITY_HEADERS: Final = (
    (b"cache-control", b"no-store"),
    (b"x-content-type-options", b"nosniff"),
    (b"content-security-policy", NO_PAGE),
)

# What parameters are called whose names mean something else in Python.
_NAMES: Final = {"since": "from", "until": "to", "shape": "format", "data": "body"}
# What the framework says of a body that is not there.
_MISSING_BODY: Final = "'data'"

_logger = Logger("motehub.api")


def make_api(services: ApiServices) -> Litestar:
    """Return the API as an ASGI application; every path of it begins with ``/api``."""
    routes = Router(
        "/api/v1",
        route_handlers=[
            devices.list_devices,
            devices.list_overview,
            devices.show_device,
            devices.change_device,
            devices.remove_device,
            devices.accept_device,
            devices.block_device,
            devices.list_series,
            devices.list_newest,
            quality.show_quality,
            connect.show_connecting,
            calibration.calibrate,
            commands.send_command,
            commands.list_commands,
            commands.show_one_command,
            readings.list_readings,
            export.export_readings,
            readings.list_events,
            readings.list_rejected,
            readings.show_health,
            live.stream,
            tokens.list_tokens,
            tokens.create_token,
            tokens.revoke_token,
            people.set_up,
            people.log_in,
            people.show_session,
            people.log_out,
            arrangement.show_arrangement,
            arrangement.arrange_devices,
            people.change_password,
            people.change_language,
            people.accept_invitation,
            mail.ask_for_link,
            mail.reset_password,
            mail.change_email,
            people.list_users,
            people.add_user,
            people.invite_user,
            people.change_user,
            people.remove_user,
            retention.list_rules,
            retention.choose_retention,
            retention.try_retention,
            retention.set_retention,
            retention.confirm_clock,
            sessions.list_sessions,
            sessions.end_session,
            sessions.end_sessions,
            sessions.log_out_user,
            certificates.list_certificates,
            certificates.show_authority,
            certificates.issue_certificate,
            certificates.revoke_certificate,
            audit.list_deeds,
            backups.show_backups,
            backups.make_backup,
            backups.fetch_backup,
            webhooks.list_webhooks,
            webhooks.show_log,
            webhooks.resend_messages,
            webhooks.send_test,
            alerts.list_rules,
            alerts.show_rule,
            alerts.add_rule,
            alerts.change_rule,
            alerts.remove_rule,
            alerts.try_rule,
            alerts.list_alerts,
            alerts.list_channels,
            settings.show_notifications,
            settings.test_channel,
            settings.list_listeners,
            alerts.acknowledge_alert,
            alerts.snooze_alert,
            alerts.list_maintenance,
            alerts.maintain_device,
            reports.list_reports,
            reports.show_report,
            reports.add_report,
            reports.change_report,
            reports.remove_report,
            reports.send_report,
            reports.bring_back,
            reports.preview_report,
            reports.list_letters,
            reports.ask_to_leave,
            reports.show_leaving,
            reports.leave_report,
            units.list_units,
            units.show_unit,
            units.add_unit,
            units.change_unit,
            units.remove_unit,
            units.listen_to_unit,
            units.scan_units,
        ],
    )
    return Litestar(
        [routes, _show_document],
        state=State({"services": services}),
        openapi_config=configuration(),
        exception_handlers={Exception: _answer_error},
        before_request=audit.begin_deed,
        after_response=audit.end_deed,
        before_send=[_add_security_headers],
        request_max_body_size=BODY_BYTES,
        logging_config=None,
    )


@get(PATH, include_in_schema=False, sync_to_thread=False)
def _show_document(request: Request[None, None, State]) -> Response[bytes]:
    """Return the OpenAPI document, to anyone: it holds no data."""
    state = request.app.state
    if "document" not in state:
        state["document"] = document(request.app)
    return Response(state["document"], media_type="application/json")


async def _add_security_headers(message: Message, _: Scope) -> None:
    if message["type"] == "http.response.start":
        headers = [*message.get("headers", ())]
        # Previews of reports have a policy of their own.
        said = {name.lower() for name, _ in headers}
        message["headers"] = headers + [one for one in _SECURITY_HEADERS if one[0] not in said]


def _answer_error(_: Request[object, object, State], error: Exception) -> Response[bytes]:
    problem = _problem_of(error)
    return Response(
        msgspec.json.encode(problem.document),
        status_code=problem.status,
        media_type=MEDIA_TYPE,
        headers=problem.headers,
    )


def _problem_of(error: Exception) -> Problem:
    match error:
        case Problem():
            return error
        case HTTPException():
            return _framework_problem(error)
        case (
            UnknownDevice()
            | UnknownToken()
            | UnknownCommand()
            | UnknownUser()
            | UnknownWebhook()
            | UnknownUnit()
            | UnknownRule()
            | UnknownAlert()
            | UnknownReport()
        ):
            return Problem(HTTPStatus.NOT_FOUND, "Not found", str(error))
        case WrongPassword():
            return not_logged_in(str(error))
        case OwnerError():
            return Problem(HTTPStatus.BAD_REQUEST, "This can't be done", str(error))
        case StorageError():
            return unavailable(f"Nothing can be stored at the moment. {error}", 5)
        case MotehubError():
            return unavailable(str(error))
        case _:
            _logger.error("request failed", error=repr(error))
            detail = "The request failed in a way that nobody thought of; the hub's log says more."
            return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, "Error in motehub", detail)


def _framework_problem(error: HTTPException) -> Problem:
    status = HTTPStatus(error.status_code)
    detail = error.detail
    if status == HTTPStatus.NOT_FOUND:
        detail = f"There is nothing at this address. {PATH} describes what there is."
    elif status == HTTPStatus.METHOD_NOT_ALLOWED:
        detail = f"This address does not know the method. {PATH} describes what there is."
    elif status == HTTPStatus.REQUEST_ENTITY_TOO_LARGE:
        detail = f"The body of such a request may have {BODY_BYTES} bytes."
    elif isinstance(error, ValidationException):
        detail = _what_is_invalid(error)
    elif status == HTTPStatus.BAD_REQUEST:
        detail = f"The request can't be read: {detail}."
    headers = {
        name: value for name, value in (error.headers or {}).items() if name.lower() == "allow"
    }
    return Problem(status, status.phrase, detail, headers)


def _what_is_invalid(error: ValidationException) -> str:
    """Return which parameters or fields are wrong, and why."""
    extra = error.extra if isinstance(error.extra, list) else []
    wrong = [_what_is_wrong(one) for one in extra if isinstance(one, dict)]
    return "; ".join(wrong) + "." if wrong else f"{error.detail}."


def _what_is_wrong(one: dict[str, object]) -> str:
    name = str(one.get("key", "body"))
    message = str(one.get("message", "is wrong"))
    return f"{_NAMES.get(name, name)}: {'is missing' if message == _MISSING_BODY else message}"
