"""What the configuration says of alerts, as the process is told that looks after them."""

from __future__ import annotations

from motehub.alerting.plan import Apprise, Mail, Plan
from motehub.alerting.settings import NotifySettings
from motehub.config import Configuration
from motehub.webhook_plans import secret_of


def alert_plan(configuration: Configuration) -> Plan | None:
    """Return how people are told; None where rules are not looked at.

    Raises:
        ConfigurationError: a file with a secret can't be read.
    """
    return channel_plan(configuration) if configuration.alerts.enabled else None


def channel_plan(configuration: Configuration) -> Plan:
    """Return how people are told, whether rules are looked at or not.

    Raises:
        ConfigurationError: a file with a secret can't be read.
    """
    settings = configuration.alerts
    return Plan(
        hub=configuration.hub.name,
        zone=configuration.hub.time_zone,
        language=configuration.hub.language.value,
        link=settings.link,
        rate=settings.rate,
        mail=mail_plan(configuration),
        store=configuration.store.type,
        apprise=tuple(_apprise(one) for one in configuration.notify if one.enabled),
    )


def _apprise(settings: NotifySettings) -> Apprise:
    url = settings.url
    if settings.url_file:
        url = secret_of(settings.url_file, f"[[notify]] {settings.name}: url_file")
    return Apprise(settings.name, url, settings.language)


def mail_plan(configuration: Configuration) -> Mail | None:
    """Return the mail server; None where there is none.

    Raises:
        ConfigurationError: the file with the password can't be read.
    """
    mail = configuration.mail
    if not mail.host:
        return None
    password = mail.password
    if mail.password_file:
        password = secret_of(mail.password_file, "[mail] password_file")
    return Mail(
        host=mail.host,
        port=mail.usual_port,
        tls=mail.tls.value,
        user=mail.user,
        password=password,
        sender=mail.sender or mail.user,
        recipients=tuple(mail.recipients),
        ca=mail.ca,
        timeout=float(mail.timeout),
    )
