"""Devices speak the TLS text stream to the running program; the history has what they said."""

import re
import time
from datetime import datetime
from pathlib import Path

import pytest
from tests.harness import (
    HubProcess,
    connect,
    openssl_send,
    recent,
    records,
    reset,
    send,
    stored,
)


def test_a_batch_is_listed_by_readings(lab: HubProcess, address: str) -> None:
    """What OpenSSL's client sends and closes is printed by ``motehub readings``."""
    start = recent(3)
    done = openssl_send(lab.port, records(start, 3, 57), source=address, ca=lab.ca)
    assert done.returncode == 0, done.stderr
    lab.wait_stored(f"dht-{address}", "temperature", 3)
    rows = lab.json("readings", f"dht-{address}")
    temperatures = [row for row in rows if row["metric"] == "temperature"]
    assert [row["value"] for row in temperatures] == [20.0, 20.1, 20.2]
    assert [row["unit"] for row in temperatures] == ["°C"] * 3
    moments = [datetime.fromisoformat(row["time"]).timestamp() for row in temperatures]
    assert moments == [start, start + 1, start + 2]
    assert [row["value"] for row in rows if row["metric"] == "relative_humidity"] == [57.0] * 3


def test_an_unknown_device_waits_until_it_is_accepted(approving: HubProcess, address: str) -> None:
    """Readings of a pending device are held, and stored under its new name on acceptance."""
    send(approving.port, approving.ca, records(recent(4), 4), address)
    _wait_received(approving, f"dht-{address}", 8)
    row = approving.device(f"dht-{address}")
    assert (row["admission"], row["waiting"], row["stored"]) == ("pending", 8, 0)
    assert approving.json("readings", f"dht-{address}") == []
    name = f"attic {address}"
    assert approving.cli("devices", "accept", f"dht-{address}", "--name", name).returncode == 0
    row = approving.device(name)
    assert (row["admission"], row["waiting"], row["stored"]) == ("accepted", 0, 8)
    assert len(approving.json("readings", name, "temperature")) == 4


def test_an_accepted_device_is_stored_at_once(approving: HubProcess, address: str) -> None:
    """After acceptance the same address writes straight into the history."""
    start = recent(2)
    send(approving.port, approving.ca, records(start, 1), address)
    _wait_received(approving, f"dht-{address}", 2)
    approving.cli("devices", "accept", f"dht-{address}")
    send(approving.port, approving.ca, records(start + 1, 1), address)
    approving.wait_stored(f"dht-{address}", "temperature", 2)
    assert approving.device(f"dht-{address}")["stored"] == 4


def test_a_blocked_device_is_rejected(approving: HubProcess, address: str) -> None:
    """Blocking rejects what was held and everything later."""
    name = f"dht-{address}"
    send(approving.port, approving.ca, records(recent(4), 2), address)
    _wait_received(approving, name, 4)
    assert approving.cli("devices", "block", name).returncode == 0
    assert approving.device(name)["rejected"] == 4
    send(approving.port, approving.ca, records(recent(2), 1), address)
    _wait_received(approving, name, 6)
    row = approving.device(name)
    assert (row["admission"], row["rejected"], row["stored"]) == ("blocked", 6, 0)
    assert "the device is blocked" in _reasons(approving, name)


def test_known_refuses_unknown_devices(folder: Path) -> None:
    """With admission = "known" an unknown device is no device, and its readings are rejected."""
    with HubProcess(folder, {"hub": {"admission": "known"}}) as hub:
        send(hub.port, hub.ca, records(recent(2), 2))
        hub.wait_until(lambda: bool(hub.json("rejected")), "the readings are rejected")
        assert hub.json("devices", "list") == []
        row = hub.json("rejected")[0]
        assert row["count"] == 4
        assert "only known devices are admitted" in row["reason"]


def test_records_may_be_split_anywhere(lab: HubProcess, address: str) -> None:
    """A batch in many small TLS records, with pauses inside its records, arrives whole."""
    payload = records(recent(6), 6)
    cuts = range(0, len(payload), 13)
    parts = [payload[cut : cut + 13] for cut in cuts]
    openssl_send(lab.port, parts[0], source=address, parts=parts[1:], pause=0.01)
    lab.wait_stored(f"dht-{address}", "temperature", 6)
    row = lab.device(f"dht-{address}")
    assert (row["stored"], row["rejected"]) == (12, 0)


def test_a_connection_may_stay_open_for_the_next_batch(lab: HubProcess, address: str) -> None:
    """The first batch is stored while the connection is open, and the second follows on it."""
    start = recent(20)
    with connect(lab.port, lab.ca, address) as connection:
        connection.sendall(records(start, 5))
        lab.wait_stored(f"dht-{address}", "temperature", 5)
        connection.sendall(records(start + 5, 5))
        lab.wait_stored(f"dht-{address}", "temperature", 10)


def test_a_reset_costs_nothing_that_was_read(lab: HubProcess, address: str) -> None:
    """RST while the next record is on its way: whole records are stored, the hub is well.

    TCP may discard what the receiver has not read when a reset comes, so the batch is read first.
    """
    start = recent(5)
    for number in range(5):
        connection = connect(lab.port, lab.ca, address)
        connection.sendall(records(start + number, 1) + b"[17")
        lab.wait_stored(f"dht-{address}", "temperature", number + 1)
        reset(connection)
    _wait_received(lab, f"dht-{address}", 15)
    assert lab.device(f"dht-{address}")["rejected"] == 5


def test_an_end_without_close_notify_loses_nothing(lab: HubProcess, address: str) -> None:
    """Twenty connections that end with TCP alone, right behind the batch: all is stored."""
    start = recent(60)
    for number in range(20):
        send(lab.port, lab.ca, records(start + 3 * number, 3), address)
    lab.wait_stored(f"dht-{address}", "temperature", 60)
    assert lab.device(f"dht-{address}")["rejected"] == 0


def test_a_truncated_record_is_rejected_with_the_reason(lab: HubProcess, address: str) -> None:
    """A batch that breaks off keeps its whole records; the broken one is shown as such."""
    payload = records(recent(3), 3)
    send(lab.port, lab.ca, payload[:-5], address)
    lab.wait_stored(f"dht-{address}", "temperature", 2)
    _wait_received(lab, f"dht-{address}", 5)
    assert _reasons(lab, f"dht-{address}") == ["the connection ended inside this record"]
    assert lab.device(f"dht-{address}")["rejected"] == 1


def test_an_error_of_the_device_is_an_event(lab: HubProcess, address: str) -> None:
    """``[ERROR] …|`` is listed by ``motehub events`` and costs no reading."""
    error = b"[ERROR] Failed to read from DHT11 sensor!|"
    send(lab.port, lab.ca, records(recent(2), 1) + error + records(recent(1), 1), address)
    lab.wait_stored(f"dht-{address}", "temperature", 2)
    events = lab.json("events", f"dht-{address}")
    assert ("device_error", "Failed to read from DHT11 sensor!") in [
        (event["kind"], event["text"]) for event in events
    ]


def test_bad_records_cost_no_good_ones(lab: HubProcess, address: str) -> None:
    """nan, an over-long record and nonsense are rejected, each with its reason."""
    start = recent(3)
    bad = f"[{start}],nan,nan,nan|".encode() + b"x" * 300 + b"|hello|"
    send(lab.port, lab.ca, records(start + 1, 1) + bad + records(start + 2, 1), address)
    lab.wait_stored(f"dht-{address}", "temperature", 2)
    assert sorted(_reasons(lab, f"dht-{address}")) == [
        "a value is not finite",
        "not of the form [seconds],humidity,celsius,fahrenheit",
        "the record is longer than 200 bytes",
    ]
    row = lab.device(f"dht-{address}")
    assert (row["stored"], row["rejected"]) == (4, 3)


def test_a_resent_batch_is_counted_as_duplicate(lab: HubProcess, address: str) -> None:
    """The same readings again are one row each, and counted."""
    payload = records(recent(5), 5)
    send(lab.port, lab.ca, payload, address)
    send(lab.port, lab.ca, payload, address)
    _wait_received(lab, f"dht-{address}", 20)
    row = lab.device(f"dht-{address}")
    assert (row["stored"], row["duplicate"]) == (10, 10)


def test_a_device_without_clock_is_dated_on_arrival(lab: HubProcess, address: str) -> None:
    """Seconds since boot: the newest record is now, the others keep their distance to it."""
    before = time.time()
    send(lab.port, lab.ca, b"[4],50,20,68|[6],50,21,69.8|[14],50,22,71.6|", address)
    lab.wait_stored(f"dht-{address}", "temperature", 3)
    after = time.time()
    readings = stored(lab.data)[f"dht-{address}", "temperature"]
    times = [moment / 1e6 for moment, _ in readings]
    assert [value for _, value in readings] == [20.0, 21.0, 22.0]
    assert before <= times[2] <= after
    assert [times[2] - times[0], times[2] - times[1]] == pytest.approx([10, 8], abs=1e-3)


def test_a_scale_mismatch_is_noted_once(lab: HubProcess, address: str) -> None:
    """°C and °F that disagree are one event, over however many connections."""
    start = recent(5)
    for number in range(5):
        send(lab.port, lab.ca, f"[{start + number}],50,20,99|".encode(), address)
    lab.wait_stored(f"dht-{address}", "temperature", 5)
    kinds = [event["kind"] for event in lab.json("events", f"dht-{address}")]
    assert kinds == ["temperature_mismatch"]


def test_a_configured_address_names_its_device(folder: Path) -> None:
    """``devices = {address = name}`` vouches for a device: it is accepted under that name."""
    settings = {"transport.dht_stream": {"devices": {"127.0.0.9": "greenhouse"}}}
    with HubProcess(folder, settings) as hub:
        send(hub.port, hub.ca, records(recent(1), 1), "127.0.0.9")
        hub.wait_stored("greenhouse", "temperature", 1)
        assert hub.device("greenhouse")["admission"] == "accepted"


def test_a_client_certificate_names_its_device(approving: HubProcess, address: str) -> None:
    """A certificate of the hub's own making admits the device, from any address."""
    assert approving.cli("certs", "client", "boiler room").returncode == 0
    clients = approving.data / "certificates" / "clients"
    pair = ("-cert", str(clients / "boiler room.crt"), "-key", str(clients / "boiler room.key"))
    start = recent(2)
    openssl_send(approving.port, records(start, 1), *pair, source=address, ca=approving.ca)
    openssl_send(approving.port, records(start + 1, 1), *pair, source="127.0.0.8")
    approving.wait_stored("boiler room", "temperature", 2)
    row = approving.device("boiler room")
    assert row["admission"] == "accepted"
    assert re.fullmatch("certificate:[0-9a-f]{64}", row["identities"][0])


def test_a_foreign_client_certificate_is_refused(
    approving: HubProcess, address: str, tmp_path: Path
) -> None:
    """A certificate of another hub's authority gets no further than the handshake."""
    from motehub.security.authority import Authority

    other = tmp_path / "other"
    other.mkdir()
    certificate = Authority(other).issue_client("intruder").file
    pair = ("-cert", str(certificate), "-key", str(certificate.with_suffix(".key")))
    failed = _transport(approving, "handshake_failed")
    openssl_send(approving.port, records(recent(1), 1), *pair, source=address)
    approving.wait_until(
        lambda: _transport(approving, "handshake_failed") > failed, "the handshake fails"
    )
    names = {row["name"] for row in approving.json("devices", "list")}
    assert names.isdisjoint({"intruder", f"dht-{address}"})


def _transport(hub: HubProcess, counter: str) -> int:
    return int(hub.status()["transports"]["dht_stream"].get(counter, 0))


def _wait_received(hub: HubProcess, name: str, count: int) -> None:
    def there() -> bool:
        rows = {row["name"]: row["received"] for row in hub.json("devices", "list")}
        return bool(rows.get(name, 0) >= count)

    hub.wait_until(there, f"{count} of {name} are received")


def _reasons(hub: HubProcess, name: str) -> list[str]:
    return [row["reason"] for row in hub.json("rejected") if row["device"] == name]
