"""The configuration: what is accepted, and what people are told when it is not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest

from motehub import config
from motehub.config import load
from motehub.config_sample import sample
from motehub.config_shown import to_json
from motehub.core.admission import Policy
from motehub.errors import ConfigurationError, OwnerError
from motehub.quantities import Duration, Size


def write(folder: Path, text: str) -> Path:
    path = folder / "motehub.toml"
    path.write_text(text, "utf-8")
    return path


def test_without_a_file_every_listener_runs_on_its_default_port() -> None:
    """The defaults are a working hub that admits nobody unasked."""
    settings = load(None, {})
    assert settings.transport["dht_stream"].port == 8090
    assert settings.hub.admission is Policy.APPROVE
    assert settings.store.type == "sqlite"


def test_with_a_file_exactly_its_sections_run(tmp_path: Path) -> None:
    """A transport runs when its section is there and not switched off."""
    assert load(write(tmp_path, ""), {}).transport == {}
    on = load(write(tmp_path, "[transport.dht_stream]\nport = 1234"), {})
    assert on.transport["dht_stream"].port == 1234
    off = load(write(tmp_path, "[transport.dht_stream]\nenabled = false"), {})
    assert off.transport == {}


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    """Every key has a variable; numbers, lists, texts and sizes are read as in TOML."""
    file = write(tmp_path, '[hub]\nname = "file"\n[transport.dht_stream]\nport = 1')
    settings = load(
        file,
        {
            "MOTEHUB_HUB_NAME": "from the environment",
            "MOTEHUB_HUB_ADMISSION": "known",
            "MOTEHUB_JOURNAL_SIZE": "64 MiB",
            "MOTEHUB_TRANSPORT_DHT_STREAM_PORT": "8091",
            "MOTEHUB_HUB_CERTIFICATE_NAMES": '["hub.example"]',
            "MOTEHUB_DATA": "not a setting",
            "PATH": "/bin",
        },
    )
    assert settings.hub.name == "from the environment"
    assert settings.hub.admission is Policy.KNOWN
    assert settings.journal.size == 64 * 2**20
    assert settings.transport["dht_stream"].port == 8091
    assert settings.hub.certificate_names == ["hub.example"]


def test_arguments_win_over_everything(tmp_path: Path) -> None:
    """--data and --open beat the file and the environment."""
    file = write(tmp_path, '[hub]\nadmission = "known"')
    settings = load(file, {"MOTEHUB_HUB_ADMISSION": "approve"}, admission="open", data_dir=None)
    assert settings.hub.admission is Policy.OPEN
    assert settings.hub.data_dir == "motehub-data"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[hub]\nadmision = 'open'", ["hub.admision", "admission"]),
        ("[hubb]\nname = 'x'", ["hubb", "Did you mean hub"]),
        ("[transport.dht_strem]\n", ["transport.dht_strem", "dht_stream"]),
        ("[transport.dht_stream]\nprt = 1", ["transport.dht_stream.prt", "port"]),
        ("[transport.dht_stream]\nport = 70000", ["transport.dht_stream.port", "65535"]),
        ("[transport.dht_stream]\nport = 'x'", ["transport.dht_stream.port", "int"]),
        ("[transport.dht_stream]\nidle_timeout = '3 parsecs'", ["idle_timeout", "'15m'"]),
        ("[transport.dht_stream]\nidle_timeout = -1", ["idle_timeout", "duration"]),
        ("[transport.dht_stream.devices]\n'300.1.1.1' = 'x'", ["devices", "300.1.1.1"]),
        ("[transport.dht_stream.devices]\n'10.0.0.1' = 'a;b'", ["devices", "a;b"]),
        ("[hub]\nadmission = 'maybe'", ["hub.admission", "maybe", "approve or open or known"]),
        ("[hub]\nlog_level = 'loud'", ["hub.log_level", "debug or info or warning or error"]),
        ("x = " + "[" * 20_000, ["too deeply"]),
        ("x = " + "9" * 5000, ["TOML"]),
        (f"[journal]\nsize = '{'9' * 400}'", ["journal.size", "out of range"]),
        (f"[journal]\nage = '{'9' * 30}y'", ["journal.age", "out of range"]),
        ("[hub]\ntime_zone = 'Mars/Olympus'", ["hub.time_zone", "Mars/Olympus"]),
        ("[hub]\npending_devices = 0", ["hub.pending_devices", "1"]),
        ("[journal]\nsize = 'big'", ["journal.size", "64 MiB"]),
        ("[store]\ntype = 'oracle'", ["store.type", "oracle", "sqlite"]),
        ("[store]\nurl = 'postgresql://h/d'", ["store.url", "sqlite", "leave it out"]),
        ("[store]\ntype = 'postgres'", ["store.url", "postgresql://USER"]),
        ("[store]\ntype = 'postgres'\nurl = 'mysql://h/d'", ["store.url", "postgresql://"]),
        ("[device_sessions]\nname_pattern = 'x'", ["device_sessions", "name_pattern", "{number}"]),
        ("[device_sessions]\ncontested = 'no'", ["contested", "'no'", "take over or refuse"]),
        ("[mqtt]\npresets = ['tasmoda']", ["mqtt.presets[0]", "tasmoda", "tasmota or zigbee"]),
        ("[[mqtt.mapping]]\ntopic = 'a/{room}'", ["mqtt.mapping[0]", "{device} is no level"]),
        ("[mqtt]\ndiscovery_prefix = 'a/#'", ["mqtt", "discovery_prefix", "wildcard"]),
        ("[[mqtt.mapping]]\nmetric = 'a'", ["mqtt.mapping[0]", "topic"]),
        ("mirror = 5", ["mirror", "[[mirror]]"]),
        ("[[mirror]]\nurl = 'redis://h'", ["mirror.type", "redis"]),
        ("[[mirror]]\ntype = 'oracle'", ["mirror.type", "redis"]),
        ("[[mirror]]\ntype = ['redis']", ["mirror.type", "redis"]),
        ("[[mirror]]\ntype = 'redis'\nurl = 'http://h'", ["mirror", "redis://"]),
        ("[[mirror]]\ntype = 'redis'\nurl = 'redis://h/x'", ["mirror", "number"]),
        ("[[mirror]]\ntype = 'redis'\nurl = 'redis://[h'", ["mirror", "redis://"]),
        ("[[mirror]]\ntype = 'redis'\nlength = 1", ["mirror.length", "stream_length"]),
        ("[[mirror]]\ntype = 'redis'\nstream = 'motehub:times'", ["mirror", "own"]),
        ("transport = 5", ["transport", "section"]),
        ("hub = 5", ["hub", "section"]),
        ("[hub\n", ["TOML"]),
    ],
)
def test_mistakes_are_named_with_file_key_and_mend(
    tmp_path: Path, text: str, words: list[str]
) -> None:
    """Each mistake is an error of one sentence that names where it is and what would be right."""
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text), {})
    message = str(caught.value)
    for word in ["motehub.toml", *words]:
        assert word in message, message


def test_mappings_of_topics(tmp_path: Path) -> None:
    """Mappings are sections of which there may be several, or a list in the environment."""
    text = """
        [mqtt]
        presets = ["tasmota", "home_assistant"]
        [[mqtt.mapping]]
        topic = "weather/{device}/{metric}"
        [[mqtt.mapping]]
        topic = "rtl_433/+/events"
        device = "{$.model}"
        fields = [{path = "temperature_C", metric = "temperature", unit = "°C"}]
    """
    settings = load(write(tmp_path, text), {}).mqtt
    assert [one.filter for one in settings.mapping] == ["weather/+/+", "rtl_433/+/events"]
    assert settings.mapping[1].fields[0].unit == "°C"
    variable = '[{topic = "{device}/t", metric = "t"}]'
    settings = load(None, {"MOTEHUB_MQTT_MAPPING": variable}).mqtt
    assert [one.filter for one in settings.mapping] == ["+/t"]


def test_several_mirrors_have_names() -> None:
    """Each is a consumer of its own; the environment holds them all."""
    text = '[{type="redis"}, {type="redis", url="unix:///run/r?db=1", stream_length=0}]'
    settings = load(None, {"MOTEHUB_MIRROR": text})
    assert list(settings.mirror) == ["mirror.redis", "mirror.redis-2"]
    assert settings.mirror["mirror.redis"].stream_length == 10_000
    assert settings.mirror["mirror.redis-2"].stream_length == 0
    assert load(None, {}).mirror == {}


@pytest.mark.parametrize(
    "url", ["redis://:s3cret@h:1/2", "rediss://a:s3cret@h", "unix:///run/r?password=s3cret&db=1"]
)
def test_passwords_of_mirrors_are_not_shown(url: str) -> None:
    """Neither by check-config nor when something is wrong with them."""
    settings = load(None, {"MOTEHUB_MIRROR": f'[{{type="redis", url="{url}"}}]'})
    assert settings.mirror["mirror.redis"].url == url
    assert b"s3cret" not in to_json(settings)
    for broken in (f'{{type="redis", url="{url}"}}', f'[{{type="redis", url="x{url}"}}]'):
        with pytest.raises(ConfigurationError) as caught:
            load(None, {"MOTEHUB_MIRROR": broken})
        assert "s3cret" not in str(caught.value)


def test_passwords_are_not_shown() -> None:
    """What check-config prints has the store's address without the password."""
    settings = load(
        None,
        {"MOTEHUB_STORE_TYPE": "postgres", "MOTEHUB_STORE_URL": "postgresql://a:s3cret@h/d"},
    )
    assert settings.store.url == "postgresql://a:s3cret@h/d"
    assert b"s3cret" not in to_json(settings)
    assert b"postgresql://a:***@h/d" in to_json(settings)


@pytest.mark.parametrize("text", ["transport = 5", "hub = 5", "[transport]\ndht_stream = 5"])
def test_a_variable_of_a_section_that_is_none(tmp_path: Path, text: str) -> None:
    """A value where a section belongs is named, also when a variable would go into it."""
    variables = {"MOTEHUB_HUB_NAME": "x", "MOTEHUB_TRANSPORT_DHT_STREAM_PORT": "0"}
    with pytest.raises(ConfigurationError, match="must be a section"):
        load(write(tmp_path, text), variables)


@pytest.mark.parametrize("text", ["9" * 400, "9" * 5000, "[" * 20_000])
def test_a_gigantic_variable_is_named_and_not_repeated_whole(text: str) -> None:
    """The sentence stays readable, whatever a variable holds."""
    with pytest.raises(ConfigurationError, match=r"journal\.size") as caught:
        load(None, {"MOTEHUB_JOURNAL_SIZE": text})
    assert len(str(caught.value)) < 400


def test_an_unknown_variable_is_an_error_too() -> None:
    """A misspelt variable is not silently without effect."""
    with pytest.raises(ConfigurationError, match="MOTEHUB_HUB_NAME"):
        load(None, {"MOTEHUB_HUB_NAM": "x"})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A configuration that was asked for and is not there stops the start."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.toml"):
        load(tmp_path / "nowhere.toml", {})


def test_the_sample_is_the_defaults(tmp_path: Path) -> None:
    """What `motehub init` writes loads, and says what is in force without it."""
    assert load(write(tmp_path, sample()), {}) == load(None, {})
    tree = tomllib.loads(sample())
    assert set(tree["hub"]) == {
        field.name for field in __import__("msgspec").structs.fields(config.HubSettings)
    }


@pytest.mark.parametrize(
    ("text", "seconds"), [("90", 90), ("1.5h", 5400), ("7d", 604800), (5, 5), ("250 ms", 0.25)]
)
def test_durations(text: object, seconds: float) -> None:
    """A number is seconds; a unit may follow."""
    assert Duration.parse(text) == seconds


@pytest.mark.parametrize(
    ("text", "size"),
    [("1", 1), ("64 MiB", 64 * 2**20), ("2GB", 2 * 10**9), (5, 5), ("1.5kB", 1500)],
)
def test_sizes(text: object, size: int) -> None:
    """A number is bytes; a decimal or binary unit may follow."""
    assert Size.parse(text) == size


@pytest.mark.parametrize("text", ["", "x", "-5s", "0", "5 q", True, None, "1e9", "nan"])
def test_what_is_no_quantity(text: object) -> None:
    """Anything else is an error that shows what would be right."""
    for kind in (Duration, Size):
        with pytest.raises(OwnerError, match="such as"):
            kind.parse(text)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[hub]\nadmission = "x"', "choose approve or open or known"),
        (
            '[transport.units]\nunit = [{address = "192.0.2.1", kind = "x"}]',
            "transport.units.unit[0].kind: Invalid enum value 'x'; choose read or updatable or",
        ),
        ('[transport.units]\nunit = [{adress = "192.0.2.1"}]', "its keys are address, port,"),
        ('[web]\ntls = {certificate = "a", kee = "b"}', "its keys are certificate, key"),
        (
            '[[webhook]]\nname = "a"\nurl = "http://x/"\nsecret = "whsec_AAAA"\nevents = ["x"]',
            "webhook.events[0]: Invalid enum value 'x'; choose readings or",
        ),
    ],
)
def test_what_could_be_written_instead_is_said(tmp_path: Path, text: str, said: str) -> None:
    """Where there is a list of that, however deep in a section the mistake is."""
    with pytest.raises(ConfigurationError) as caught:
        load(write(tmp_path, text), {})
    assert said in str(caught.value)
