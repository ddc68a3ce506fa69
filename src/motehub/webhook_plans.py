"""What the configuration says of webhooks, as the processes are told that send them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from motehub.config import Configuration
from motehub.errors import ConfigurationError
from motehub.pusher_keys import ensure_keys
from motehub.transports._pusher_client_settings import SECTION
from motehub.transports._pusher_client_settings import Settings as ClientSettings
from motehub.webhooks.endpoints import Dashboard, Endpoint, Plan
from motehub.webhooks.settings import WebhookSettings
from motehub.webhooks.signing import key_of

_SECRET_BYTES: Final = 4_096


def webhook_plan(configuration: Configuration) -> Plan | None:
    """Return to whom webhooks go; None where they go to nobody.

    Raises:
        ConfigurationError: a file with a secret can't be read.
    """
    endpoints = tuple(_endpoints(configuration))
    return Plan(endpoints=endpoints) if endpoints else None


def base_plan(configuration: Configuration) -> Plan | None:
    """Return where a base unit sends its readings; None where this is none.

    Raises:
        ConfigurationError: the file with the token can't be read.
    """
    settings = configuration.transport.get("pusher_client")
    if settings is None:
        return None
    return Plan(dashboard=dashboard_of(settings))


def dashboard_of(settings: ClientSettings) -> Dashboard:
    """Return where the readings of units go.

    Raises:
        ConfigurationError: the file with the token can't be read.
    """
    token = settings.api_token or secret_of(settings.api_token_file, f"{SECTION} api_token_file")
    return Dashboard(
        url=settings.api_url,
        token=token,
        ca=settings.ca,
        timeout=settings.timeout,
        rate=settings.rate,
        connections=settings.connections,
        latest_only=settings.latest_only,
        queue=settings.queue,
        patience=settings.patience,
    )


def _endpoints(configuration: Configuration) -> Iterator[Endpoint]:
    for settings in configuration.webhook:
        if settings.enabled:
            yield _endpoint(settings)
    pusher = configuration.pusher
    if configuration.web is None or not pusher.enabled:
        return
    if pusher.webhooks:
        keys = ensure_keys(configuration.data_dir, pusher)
        yield from _of_app(keys.app_id, keys.key, keys.secret, pusher.webhooks)
    for app in pusher.app:
        if app.enabled:
            yield from _of_app(app.app_id, app.key, app.secret, app.webhooks)


def _endpoint(settings: WebhookSettings) -> Endpoint:
    secret = settings.secret
    if settings.secret_file:
        origin = f"[[webhook]] {settings.name}: secret_file"
        secret = secret_of(settings.secret_file, origin)
        try:
            key_of(secret)
        except ValueError as error:
            message = f"{origin}: what {settings.secret_file} holds {error}."
            raise ConfigurationError(message) from None
    return Endpoint(
        name=settings.name,
        url=settings.url,
        secrets=tuple(one for one in (secret, settings.old_secret) if one),
        events=frozenset(event.value for event in settings.events),
        devices=tuple(settings.devices),
        headers=settings.headers,
        ca=settings.ca,
        timeout=settings.timeout,
        retries=tuple(settings.retries),
        queue=settings.queue,
        keep=settings.keep,
        interval=settings.interval,
    )


def _of_app(app_id: str, key: str, secret: str, urls: list[str]) -> Iterator[Endpoint]:
    destination = f"pusher/{app_id}"
    for number, url in enumerate(urls, 1):
        yield Endpoint(
            name=destination if number == 1 else f"{destination} {number}",
            url=url,
            secrets=(secret,),
            app_key=key,
            destination=destination,
        )


def secret_of(file: str, origin: str) -> str:
    """Return the secret that a file holds; ``origin`` is the setting that names it.

    Raises:
        ConfigurationError: it can't be read.
    """
    try:
        with Path(file).open(encoding="utf-8") as content:
            return content.read(_SECRET_BYTES).strip()
    except (OSError, UnicodeDecodeError) as error:
        why = (error.strerror if isinstance(error, OSError) else None) or "it is not text"
        raise ConfigurationError(f"{origin}: {file} can't be read ({why}).") from error
