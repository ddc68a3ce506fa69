"""The configuration: TOML and environment become frozen structs, checked before a socket opens.

Every key can also be set as ``MOTEHUB_SECTION_KEY`` in the environment, which wins over the
file: ``MOTEHUB_TRANSPORT_DHT_STREAM_PORT=8091``.
"""

from __future__ import annotations

import os
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from motehub import parts
from motehub.alerting.settings import AlertSettings, MailSettings, NotifySettings, check_rules
from motehub.alerts.rule import Rule
from motehub.config_choices import choices_at
from motehub.core.admission import Policy
from motehub.core.retention import RetentionSettings
from motehub.device_session_settings import DeviceSessionSettings
from motehub.errors import ConfigurationError, OwnerError
from motehub.languages import Language
from motehub.logs import LogLevel
from motehub.mdns.settings import MdnsSettings
from motehub.mqtt_meaning.settings import MqttSettings
from motehub.quantities import Delay, Duration, Size
from motehub.schedules.report import Report
from motehub.web.pusher_settings import PusherSettings
from motehub.web.settings import TLS_MODES, PimonitorSettings, WebSettings
from motehub.webhooks.settings import WebhookSettings
from motehub.zones import find_zone

ENVIRONMENT_PREFIX: Final = "MOTEHUB_"
NOT_SETTINGS: Final = {"MOTEHUB_DATA", "MOTEHUB_CONFIG", "MOTEHUB_TRACE"}
"""Variables of the command line that are no keys of the configuration."""


class HubSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[hub]``."""

    name: Annotated[str, Meta(description="What the hub is called on pages and in mails.")] = (
        "motehub"
    )
    data_dir: Annotated[
        str, Meta(description="Folder of all data; --data and MOTEHUB_DATA win over it.")
    ] = "motehub-data"
    time_zone: Annotated[
        str, Meta(description='Zone in which people see times, "Europe/Paris"; "" = the system\'s.')
    ] = ""
    language: Annotated[
        Language,
        Meta(description="Language of mails that don't name one: en, fr. Pages follow the reader."),
    ] = Language.ENGLISH
    admission: Annotated[
        Policy,
        Meta(
            description="Unknown devices: approve (they wait for you), open (accepted at once), "
            "known (refused)."
        ),
    ] = Policy.APPROVE
    log_level: Annotated[
        LogLevel, Meta(description="Least important log lines shown: debug, info, warning, error.")
    ] = LogLevel.INFO
    pending_devices: Annotated[
        int, Meta(ge=1, description="Most devices that wait for approval at a time.")
    ] = 100
    held_readings: Annotated[
        int, Meta(ge=0, description="Most readings held for each device that waits for approval.")
    ] = 10_000
    devices: Annotated[int, Meta(ge=1, description="Most devices that the hub knows.")] = 10_000
    series_per_device: Annotated[
        int, Meta(ge=1, description="Most metrics of each device; others are rejected.")
    ] = 1_000
    certificate_names: Annotated[
        list[str],
        Meta(description="Further host names and addresses that the server certificate covers."),
    ] = []


class JournalSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[journal]``."""

    size: Annotated[
        Size,
        Meta(description="Most bytes that wait for a slow or absent store; then senders wait."),
    ] = Size(2**30)
    age: Annotated[
        Duration, Meta(description="Longest time that a reading waits there; then senders wait.")
    ] = Duration(7 * 86400)


class StoreSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[store]``."""

    type: Annotated[
        str,
        Meta(description="Where the history is kept: sqlite (in the data folder) or postgres."),
    ] = "sqlite"
    url: Annotated[
        str,
        Meta(description="Address of a postgres store: postgresql://USER:PASSWORD@HOST/DATABASE."),
    ] = ""


class Configuration(msgspec.Struct, frozen=True):
    """Everything that the owner can set. ``transport`` maps sections to their settings.

    ``web`` is None where it does not run. ``mirror`` maps consumers to settings of their mirrors.
    """

    hub: HubSettings
    journal: JournalSettings
    store: StoreSettings
    transport: dict[str, Any]
    mirror: dict[str, Any] = {}
    webhook: tuple[WebhookSettings, ...] = ()
    rule: tuple[Rule, ...] = ()
    report: tuple[Report, ...] = ()
    notify: tuple[NotifySettings, ...] = ()
    alerts: AlertSettings = AlertSettings()
    mail: MailSettings = MailSettings()
    web: WebSettings | None = None
    pimonitor: PimonitorSettings = PimonitorSettings()
    pusher: PusherSettings = PusherSettings()
    device_sessions: DeviceSessionSettings = DeviceSessionSettings()
    mqtt: MqttSettings = MqttSettings()
    retention: RetentionSettings = RetentionSettings()
    mdns: MdnsSettings = MdnsSettings()

    @property
    def data_dir(self) -> Path:
        """The data folder as a path."""
        return Path(self.hub.data_dir)


TABLES: Final[dict[str, Any]] = {
    "webhook": WebhookSettings,
    "rule": Rule,
    "report": Report,
    "notify": NotifySettings,
}
SECTIONS: Final[dict[str, type[msgspec.Struct]]] = {
    "hub": HubSettings,
    "journal": JournalSettings,
    "store": StoreSettings,
    "retention": RetentionSettings,
    "web": WebSettings,
    "pimonitor": PimonitorSettings,
    "pusher": PusherSettings,
    "device_sessions": DeviceSessionSettings,
    "mqtt": MqttSettings,
    "alerts": AlertSettings,
    "mail": MailSettings,
    "mdns": MdnsSettings,
}


def load(
    file: Path | None, environment: Mapping[str, str] = os.environ, **hub: object
) -> Configuration:
    """Read ``file`` (or the defaults) and the environment; ``hub`` overrides keys of ``[hub]``.

    Without a file every device listener runs; with one, those whose section is present.

    Raises:
        ConfigurationError: something is unknown, of the wrong type or out of range; the message
            names the file, the key and the mend.
    """
    if file is not None:
        return load_tree(_read(file), str(file), environment, **hub)
    listeners = [name for name, part in parts.transports().items() if part.listens]
    tree: dict[str, Any] = {"web": {}, "transport": {name: {} for name in listeners}}
    return load_tree(tree, "the environment", environment, **hub)


def load_tree(
    tree: dict[str, Any], origin: str, environment: Mapping[str, str] = os.environ, **hub: object
) -> Configuration:
    """Do the same with the sections in ``tree``, which are from ``origin``; it raises the same."""
    for path, value in _from_environment(environment):
        _put(tree, path, value)
    tree.setdefault("hub", {})
    if isinstance(tree["hub"], dict):
        tree["hub"].update({key: str(v) for key, v in hub.items() if v is not None})
    return _check(tree, origin)


def sections() -> dict[str, type[msgspec.Struct]]:
    """Return the settings struct of every section, in the order of the documentation."""
    transports = parts.transports()
    return SECTIONS | {f"transport.{name}": part.settings for name, part in transports.items()}


def _read(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text("utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{file} can't be read: {error.strerror}.") from error
    except ValueError as error:
        raise ConfigurationError(f"{file} is not valid TOML: {error}.") from error
    except RecursionError:
        message = f"{file} nests values too deeply; no setting needs that."
        raise ConfigurationError(message) from None


def _from_environment(environment: Mapping[str, str]) -> Iterator[tuple[list[str], Any]]:
    given = {one for one in environment if one.startswith(ENVIRONMENT_PREFIX)} - NOT_SETTINGS
    if not given:
        return
    known = {
        ENVIRONMENT_PREFIX + f"{section}.{field.encode_name}".replace(".", "_").upper(): (
            [*section.split("."), field.encode_name],
            field.type,
        )
        for section, settings in sections().items()
        for field in msgspec.structs.fields(settings)
    }
    known[f"{ENVIRONMENT_PREFIX}MIRROR"] = (["mirror"], list)
    known |= {f"{ENVIRONMENT_PREFIX}{one.upper()}": ([one], list) for one in TABLES}
    for variable in sorted(given):
        if variable not in known:
            near = _nearest(variable, known)
            raise ConfigurationError(f"{variable} in the environment is not a setting.{near}")
        path, _ = known[variable]
        yield path, _toml_value(environment[variable])


def _toml_value(text: str) -> Any:
    """Read a variable as a TOML value, or as the plain text that it is."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text


def _put(tree: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        tree = tree.setdefault(name, {})
        if not isinstance(tree, dict):
            # It is no section; the check says so.
            return
    tree[path[-1]] = value


def _check(tree: dict[str, Any], origin: str) -> Configuration:
    _check_keys(tree, [*SECTIONS, *TABLES, "transport", "mirror"], origin, "")
    found = {
        name: _convert(tree.get(name, {}), settings, origin, name)
        for name, settings in SECTIONS.items()
    }
    if "web" not in tree or not found["web"].enabled:
        found["web"] = None
    transports = tree.get("transport", {})
    _check_keys(transports, parts.transport_names(), origin, "transport.")
    found["transport"] = {
        name: settings
        for name, section in transports.items()
        if (
            settings := _convert(
                section, parts.transport(name).settings, origin, f"transport.{name}"
            )
        ).enabled
    }
    found["mirror"] = _mirrors(tree.get("mirror", []), origin)
    found |= {name: _tables(tree.get(name, []), origin, name) for name in TABLES}
    configuration = Configuration(**found)
    _check_values(configuration, origin)
    return configuration


def _check_values(configuration: Configuration, origin: str) -> None:
    check_store(configuration.store, origin)
    pimonitor = configuration.pimonitor
    zones = {
        "hub.time_zone": configuration.hub.time_zone,
        "pimonitor.time_zone": pimonitor.time_zone,
    }
    zones |= {f"pimonitor.time_zones.{key}": zone for key, zone in pimonitor.time_zones.items()}
    for key, zone in zones.items():
        try:
            find_zone(zone or "UTC")
        except OwnerError as error:
            raise ConfigurationError(f"{origin}: {key}: {error}") from error
    for path in pimonitor.paths:
        if not path.startswith("/"):
            message = f"{origin}: pimonitor.paths: {path!r} is no path: it must begin with /."
            raise ConfigurationError(message)
    try:
        check_rules(configuration.rule, configuration.notify)
    except ValueError as error:
        raise ConfigurationError(f"{origin}: {error}.") from error
    web = configuration.web
    if web is not None and isinstance(web.tls, str) and web.tls not in TLS_MODES:
        raise ConfigurationError(
            f'{origin}: web.tls is {web.tls!r}; write "off", "auto" or '
            '{certificate = "FILE", key = "FILE"}.'
        )


def check_store(store: StoreSettings, origin: str) -> None:
    """Check that there is such a store, and that it has a URL if it needs one.

    Raises:
        ConfigurationError: it is not so; the message begins with ``origin``.
    """
    if store.type not in parts.store_names():
        known = ", ".join(parts.store_names())
        raise ConfigurationError(f"{origin}: store.type is {store.type!r}; known stores: {known}.")
    schemes = parts.store(store.type).schemes
    # The URL itself is not repeated: it may hold a password.
    if not schemes and store.url:
        message = f"{origin}: store.url is set, but {store.type} has none: leave it out."
        raise ConfigurationError(message)
    if schemes and store.url.partition("://")[0] not in schemes:
        raise ConfigurationError(
            f"{origin}: store.url of {store.type} must begin with {schemes[0]}://, as in "
            f"{schemes[0]}://USER:PASSWORD@HOST/DATABASE."
        )


def _mirrors(sections: object, origin: str) -> dict[str, Any]:
    """Check the sections ``[[mirror]]``; what they say is not repeated, it may hold passwords."""
    if not isinstance(sections, list) or not all(isinstance(one, dict) for one in sections):
        raise ConfigurationError(
            f'{origin}: mirror must be sections [[mirror]], or in the environment [{{type = "…"}}].'
        )
    found: dict[str, Any] = {}
    for section in sections:
        kind = section.get("type")
        if kind not in parts.mirror_names():
            names = ", ".join(parts.mirror_names())
            raise ConfigurationError(f"{origin}: mirror.type must be one of: {names}.")
        same = sum(parts.mirror_of(one) == kind for one in found.values())
        rest = {key: value for key, value in section.items() if key != "type"}
        settings = _convert(rest, parts.mirror(kind).settings, origin, "mirror")
        found[f"mirror.{kind}-{same + 1}" if same else f"mirror.{kind}"] = settings
    return found


def _tables(sections: object, origin: str, name: str) -> tuple[Any, ...]:
    """Check sections ``[[name]]``, each of which is called otherwise."""
    if not isinstance(sections, list):
        message = (
            f"{origin}: {name} must be sections [[{name}]], or in the environment such a list."
        )
        raise ConfigurationError(message)
    found = tuple(_convert(one, TABLES[name], origin, name) for one in sections)
    for one, count in Counter(getattr(one, "name") for one in found).items():  # noqa: B009
        if count > 1:
            raise ConfigurationError(f"{origin}: {name}.name: two are called {one!r}.")
    return found


def _check_keys(tree: object, known: list[str], origin: str, prefix: str) -> None:
    if not isinstance(tree, dict):
        raise ConfigurationError(f"{origin}: {prefix.rstrip('.')} must be a section.")
    for key in tree:
        if key not in known:
            raise ConfigurationError(
                f"{origin}: {prefix}{key} is not a setting.{_nearest(key, known)}"
            )


def _convert(section: object, settings: type[msgspec.Struct], origin: str, name: str) -> Any:
    fields = [field.encode_name for field in msgspec.structs.fields(settings)]
    _check_keys(section, fields, origin, f"{name}.")
    try:
        return msgspec.convert(section, settings, strict=False, dec_hook=_quantity)
    except (msgspec.ValidationError, OwnerError) as error:
        reason, _, path = str(error).partition(" - at `$.")
        key = f"{name}.{path.rstrip('`')}" if path else name
        choices = choices_at(settings, path.rstrip("`"), reason)
        raise ConfigurationError(f"{origin}: {key}: {reason:.300}{choices}.") from error


def _quantity(kind: type, value: object) -> object:
    if kind is Duration or kind is Delay or kind is Size:
        try:
            return kind.parse(value)
        except OwnerError as error:
            # As a ValueError it comes back with the path of the key.
            raise ValueError(str(error)) from error
    # What msgspec asks of such a hook for a type that it does not know: a fault in our settings.
    raise NotImplementedError(f"settings of type {kind}")


def _nearest(key: str, known: Mapping[str, object] | list[str]) -> str:
    near = get_close_matches(key, list(known), 1, 0.4)
    return f" Did you mean {near[0]}?" if near else f" Known: {', '.join(sorted(known))}."
