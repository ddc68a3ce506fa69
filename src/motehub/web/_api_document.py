"""The OpenAPI document: what the handlers say of themselves, and what they can't."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from litestar import Litestar
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import Components, SecurityScheme

from motehub import __version__
from motehub.web.problems import MEDIA_TYPE, ProblemDocument

PATH: Final = "/api/openapi.json"

Problems = Mapping[int, str]

_TOKEN: Final = {
    401: "No token, or one that is not good any more.",
    403: "The token lacks the scope, or is bound to other devices.",
    414: "The path or the query is too long.",
    429: "Too many requests without a good token; Retry-After says when to try again.",
}
BAD: Final = {400: "A parameter can't be understood; the detail says which and why."}
READING: Final = {**_TOKEN, **BAD}
ADMIN: Final = {**_TOKEN, **BAD, 413: "The body is too long."}
LOGGING_IN: Final = {
    401: "Not logged in, or name, password or code are wrong.",
    403: "The request comes from a page of another site.",
    413: "The body is too long.",
    429: "Too many attempts that failed; Retry-After says when to try again.",
    **BAD,
}
COMING_IN: Final = {**LOGGING_IN, 415: "The body is not said to be JSON."}
NAMED: Final = {404: "There is none of that name."}
CONFLICT: Final = {409: "The name is taken."}
UNREADY: Final = {409: "The device is not accepted, or too many commands wait for it."}
UNSTORED: Final = {503: "Nothing can be stored at the moment; Retry-After says when to try again."}
_UNREAD: Final = {
    500: "An error in motehub; the hub's log says more.",
    503: "The history can't be read at the moment; Retry-After says when to try again.",
}

_STRICT: Final = (
    "DeviceChange",
    "Arrangement",
    "Acceptance",
    "NewToken",
    "NewCommand",
    "NewUnit",
    "NewRetention",
    "NewRetentionOfAll",
    "RetentionTrial",
    "NewRule",
    "RuleChange",
    "Trial",
    "Snooze",
    "Maintenance",
    "UnitChange",
    "Listening",
    "Search",
    "SetUp",
    "LogIn",
    "AcceptedInvitation",
    "PasswordChange",
    "Forgotten",
    "ChosenPassword",
    "EmailChange",
    "LanguageChange",
    "NewCertificate",
    "NewUser",
    "UserChange",
)
"""Bodies in which an unknown field is an error."""

_DESCRIPTION: Final = """\
Readings, devices and tokens of a motehub. Every request needs a token, as
`Authorization: Bearer TOKEN`. Errors are problem documents (RFC 9457). Times are ISO 8601 in
UTC; columns of times are seconds since 1970."""

_HEADERS: Final = {
    "Motehub-Complete": "false when the history had not everything yet that was acknowledged.",
    "Motehub-Next": "The from with which to ask for the rest, when there is more.",
}


def answers(
    shape: Any, description: str, further: Problems | None = None
) -> dict[int, ResponseSpec]:
    """Return the responses of a route that the query process answers."""
    good = ResponseSpec(shape, generate_examples=False, description=description)
    return {200: good, **problems({**READING, **_UNREAD, **(further or {})})}


def problems(described: Problems) -> dict[int, ResponseSpec]:
    """Return the problems that a route may answer with."""
    return {
        status: ResponseSpec(
            ProblemDocument, generate_examples=False, description=text, media_type=MEDIA_TYPE
        )
        for status, text in described.items()
    }


def configuration() -> OpenAPIConfig:
    """Return how Litestar makes its part of the document; it serves no page of its own."""
    return OpenAPIConfig(
        title="motehub",
        version=__version__,
        description=_DESCRIPTION,
        security=[{"token": []}],
        components=Components(
            security_schemes={
                "token": SecurityScheme(
                    type="http",
                    scheme="bearer",
                    description="Made by 'motehub token create'.",
                )
            }
        ),
        use_handler_docstrings=True,
        # With none at all it serves pages whose scripts come from elsewhere.
        render_plugins=[JsonRenderPlugin()],
        openapi_router=None,
    )


def document(app: Litestar) -> bytes:
    """Return the whole OpenAPI document of ``app`` as JSON."""
    made: dict[str, Any] = app.openapi_schema.to_schema()
    for path in made["paths"].values():
        for method, operation in path.items():
            if isinstance(operation, dict) and "responses" in operation:
                _complete(method, operation)
    readings = made["paths"]["/api/v1/readings"]
    readings["get"]["responses"]["200"]["content"]["text/csv"] = {
        "schema": {
            "type": "string",
            "description": "time,device,metric,value,unit; with points "
            "time,device,metric,min,max,mean,last,count,unit. Lines end with CR LF (RFC 4180).",
        }
    }
    readings["post"] = _ingest(
        "Send readings",
        "One reading, an array of readings, or one a line (NDJSON). The answer comes when they "
        "are durable: 200 when all are stored, 207 when some are. A request that is sent again "
        "with the same Idempotency-Key is stored once.",
        {
            "application/json": {
                "schema": {"oneOf": [_READING, {"type": "array", "items": _READING}]}
            },
            "application/x-ndjson": {"schema": {"type": "string"}},
        },
        [_header("Idempotency-Key", "A text of your choice, the same when you send it again.")],
        {
            "200": _json("All are stored.", _RESULT),
            "207": _json("Some are stored; errors says which are not, and why.", _RESULT),
        },
        _refusals(),
    )
    made["paths"]["/api/v1/write"] = {
        "post": _ingest(
            "Send readings in InfluxDB line protocol",
            "For programs that write to InfluxDB: the measurement's fields become metrics.",
            {"text/plain": {"schema": {"type": "string"}}},
            [
                {
                    "name": "precision",
                    "in": "query",
                    "description": "Unit of the times.",
                    "schema": {"type": "string", "default": "ns"},
                }
            ],
            {"204": {"description": "All are stored."}},
            _refusals({"application/json": {"schema": _INFLUX_ERROR}}),
        )
    }
    for name in _STRICT:
        made["components"]["schemas"][name]["additionalProperties"] = False
    return msgspec.json.encode(made)


def _complete(method: str, operation: dict[str, Any]) -> None:
    """Put in what Litestar does not know of responses."""
    for status, response in operation["responses"].items():
        if status == "401":
            response["headers"] = {"WWW-Authenticate": _text_header("Bearer, and why.")}
        elif status in {"429", "503"}:
            response["headers"] = {"Retry-After": _text_header("Seconds.")}
        elif status == "200" and method == "get" and "500" in operation["responses"]:
            response["headers"] = {name: _text_header(text) for name, text in _HEADERS.items()}


_READING: Final = {
    "type": "object",
    "required": ["metric", "value"],
    "properties": {
        "device": {"type": "string", "description": "May be left out by a token of one device."},
        "metric": {"type": "string"},
        "value": {"type": ["number", "boolean", "string"]},
        "time": {
            "type": ["string", "number"],
            "description": "ISO 8601 with a zone, or seconds since 1970; now when left out.",
        },
        "unit": {"type": "string"},
    },
}
_RESULT: Final = {
    "type": "object",
    "required": ["stored", "rejected", "errors"],
    "properties": {
        "stored": {"type": "integer"},
        "rejected": {"type": "integer"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["line", "reason"],
                "properties": {"line": {"type": "integer"}, "reason": {"type": "string"}},
            },
        },
    },
}
_INFLUX_ERROR: Final = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
_REFUSED: Final = {
    400: "The body can't be read, or nothing of it can be stored.",
    401: _TOKEN[401],
    403: _TOKEN[403],
    409: "A request with the same Idempotency-Key is under way.",
    413: "The body is too long.",
    422: "The Idempotency-Key came with another body before.",
    415: "The form or the compression of the body is not known.",
    429: _TOKEN[429],
    503: UNSTORED[503],
}


def _ingest(
    summary: str,
    description: str,
    content: dict[str, Any],
    parameters: list[dict[str, Any]],
    good: dict[str, Any],
    bad: dict[str, Any],
) -> dict[str, Any]:
    """Describe a route that is no handler of Litestar's."""
    encoding = _header("Content-Encoding", "gzip or zstd, when the body is compressed.")
    return {
        "summary": summary,
        "description": description,
        "operationId": summary.title().replace(" ", ""),
        "parameters": [*parameters, encoding],
        "requestBody": {"required": True, "content": content},
        "responses": good | bad,
        "security": [{"token": []}],
    }


def _header(name: str, description: str) -> dict[str, Any]:
    return {"name": name, "in": "header", "description": description, "schema": {"type": "string"}}


def _text_header(description: str) -> dict[str, Any]:
    return {"description": description, "schema": {"type": "string"}}


def _json(description: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _refusals(further: dict[str, Any] | None = None) -> dict[str, Any]:
    """Describe why nothing is stored, as a problem or in ``further`` forms."""
    schema = {"$ref": "#/components/schemas/ProblemDocument"}
    content = {MEDIA_TYPE: {"schema": schema}, **(further or {})}
    return {
        str(status): {"description": text, "content": content} for status, text in _REFUSED.items()
    }
