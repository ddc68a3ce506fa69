"""The commented configuration of ``motehub init``: made from the settings themselves."""

from __future__ import annotations

import enum
from typing import Any, Final, get_args, get_origin

import msgspec
from msgspec import Meta

from motehub.alerting.settings import NotifySettings
from motehub.alerts.rule import Rule
from motehub.config import ENVIRONMENT_PREFIX, sections
from motehub.parts import mirror, mirror_names, transports
from motehub.quantities import Duration, Size
from motehub.schedules.report import Report
from motehub.webhooks.settings import WebhookSettings

_HEADER: Final = f"""\
# motehub configuration. Every key is shown with its default; delete what you don't change.
# Only [web] and the transport sections that are present run. Every key can also be set in the
# environment: {ENVIRONMENT_PREFIX}HUB_ADMISSION=open is admission in [hub].
"""

_NOT_BY_ITSELF: Final = {
    f"transport.{name}" for name, part in transports().items() if not part.listens
}

_MIRRORS: Final = f"""\
# Copies of the newest values in other servers: one such section for each, without the "#". In
# the environment {ENVIRONMENT_PREFIX}MIRROR holds them all: [{{type = "redis", url = "…"}}].
"""

_WEBHOOKS: Final = "Programs elsewhere that are told what happens: one such section for each."

_NOTIFIERS: Final = "Services that Apprise knows, through which people are told of alerts."
_REPORTS: Final = "Mails at set times about what devices said: one such section for each report."
_RULES: Final = "What you want to be told of: one such section for each rule."


def sample() -> str:
    """Return a TOML document with every section, key, default and meaning."""
    parts = [_HEADER]
    for section, settings in sections().items():
        if section in _NOT_BY_ITSELF:
            parts.append(f"\n# [{section}]\n{_commented(settings)}")
            parts += [
                _tables(f"{section}.{field.encode_name}", describe(field), table)
                for field in msgspec.structs.fields(settings)
                if (table := _table_of(field))
            ]
            continue
        parts.append(f"\n[{section}]\n")
        for field in msgspec.structs.fields(settings):
            if table := _table_of(field):
                parts.append(_tables(f"{section}.{field.encode_name}", describe(field), table))
                continue
            parts.append(f"# {describe(field)}\n{field.encode_name} = {_toml(_default(field))}\n")
    for name in mirror_names():
        settings = mirror(name).settings
        parts.append(f'\n{_MIRRORS}# [[mirror]]\n# type = "{name}"\n{_commented(settings)}')
    parts.append(_tables("webhook", _WEBHOOKS, WebhookSettings))
    parts.append(_tables("rule", _RULES, Rule))
    parts.append(_tables("report", _REPORTS, Report))
    parts.append(_tables("notify", _NOTIFIERS, NotifySettings))
    return "".join(parts)


def _commented(settings: type[msgspec.Struct]) -> str:
    """Return the keys of a section that is there only when the owner wants it."""
    return "".join(
        f"## {describe(field)}\n# {field.encode_name} = {_toml(_default(field))}\n"
        for field in msgspec.structs.fields(settings)
        if _table_of(field) is None
    )


def _table_of(field: msgspec.structs.FieldInfo) -> type[msgspec.Struct] | None:
    """Return the settings of a key that is an array of tables, None for all others."""
    kind = get_args(field.type)[0]
    of = get_args(kind)[0] if get_origin(kind) is list else None
    return of if isinstance(of, type) and issubclass(of, msgspec.Struct) else None


def _tables(section: str, meaning: str, settings: type[msgspec.Struct]) -> str:
    """Return what a section may look like of which there may be several, as comments."""
    text = f"\n# {meaning}\n# [[{section}]]\n"
    for field in sorted(msgspec.structs.fields(settings), key=lambda one: not one.required):
        default = '"…"' if field.required else _toml(_default(field))
        text += f"## {describe(field)}\n# {field.encode_name} = {default}\n"
    return text


def describe(field: msgspec.structs.FieldInfo) -> str:
    """Return what a setting means, as its definition says."""
    assert get_origin(field.type) is not None, f"{field.name} has no description"
    for extra in get_args(field.type)[1:]:
        if isinstance(extra, Meta) and extra.description:
            return extra.description
    raise AssertionError(f"{field.name} has no description")


def _default(field: msgspec.structs.FieldInfo) -> Any:
    if field.default is not msgspec.NODEFAULT:
        return field.default
    return field.default_factory()


def _toml(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case enum.Enum():
            return _toml(value.value)
        case Duration():
            return f'"{_scaled(value, (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)))}"'
        case Size():
            return f'"{_scaled(value, (("GiB", 2**30), ("MiB", 2**20), ("KiB", 2**10)), " ")}"'
        case str():
            return msgspec.json.encode(value).decode()
        case list() | tuple():
            return "[" + ", ".join(map(_toml, value)) + "]"
        case dict():
            return "{" + ", ".join(f"{_toml(k)} = {_toml(v)}" for k, v in value.items()) + "}"
        case _:
            return str(value)


def _scaled(value: float, units: tuple[tuple[str, int], ...], space: str = "") -> str:
    for unit, factor in units if value else units[-1:]:
        if value % factor == 0:
            return f"{value / factor:g}{space}{unit}"
    return f"{value:g}"
