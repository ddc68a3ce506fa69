"""The settings in force, as ``motehub check-config`` shows them."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from motehub import parts
from motehub.alerts.rule import to_fields
from motehub.config import Configuration
from motehub.http_client import place_of
from motehub.schedules.report import to_fields as report_fields
from motehub.web.pusher_settings import PusherSettings
from motehub.webhooks.settings import WebhookSettings

_HIDDEN: Final = "***"
# As long as the shortest one, so that the settings are still right.
_HIDDEN_SECRET: Final = "********"  # noqa: S105


def to_json(configuration: Configuration) -> bytes:
    """Return all settings in force as JSON, without passwords.

    Durations are in seconds, sizes in bytes.
    """

    def plain(value: object) -> float | int:
        return float(value) if isinstance(value, float) else int(str(value))

    store = configuration.store
    if store.url:
        shown = parts.store(store.type).where(configuration.data_dir, store.url)
        store = msgspec.structs.replace(store, url=shown)
    mirrors = {
        name: msgspec.structs.replace(one, url=parts.mirror(parts.mirror_of(one)).where(one))
        for name, one in configuration.mirror.items()
    }
    transports = {name: _without_password(one) for name, one in configuration.transport.items()}
    public = msgspec.structs.replace(
        configuration,
        store=store,
        mirror=mirrors,
        transport=transports,
        mail=_without_password(configuration.mail),
        pusher=_without_secrets(configuration.pusher),
    )
    shown_all = msgspec.structs.asdict(public)
    shown_all["webhook"] = [_without_secret(one) for one in configuration.webhook]
    shown_all["notify"] = [
        {**msgspec.structs.asdict(one), "url": _HIDDEN if one.url else ""}
        for one in configuration.notify
    ]
    shown_all["rule"] = [to_fields(one) for one in configuration.rule]
    shown_all["report"] = [report_fields(one) for one in configuration.report]
    return msgspec.json.encode(shown_all, enc_hook=plain)


def _without_password(settings: Any) -> Any:
    hidden = {key: _HIDDEN for key in ("password", "api_token") if getattr(settings, key, "")}
    return msgspec.structs.replace(settings, **hidden) if hidden else settings


def _without_secrets(pusher: PusherSettings) -> PusherSettings:
    hide = msgspec.structs.replace
    apps = [hide(one, secret=_HIDDEN_SECRET) for one in pusher.app]
    return hide(pusher, secret=_HIDDEN_SECRET if pusher.secret else "", app=apps)


def _without_secret(webhook: WebhookSettings) -> dict[str, object]:
    shown = msgspec.structs.asdict(webhook)
    for key in ("secret", "old_secret"):
        shown[key] = _HIDDEN if shown[key] else ""
    shown["url"] = place_of(webhook.url).shown
    shown["headers"] = dict.fromkeys(webhook.headers, _HIDDEN)
    return shown
