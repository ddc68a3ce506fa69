"""A hub whose broker listens, Mosquitto's clients, and MQTT byte by byte."""

from __future__ import annotations

import json
import queue
import socket
import ssl
import struct
import subprocess
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Self

import psutil

from tests.harness import PATIENCE, HubProcess, Settings, stored
from tests.web_hub import WebHub

BROKER: Settings = {
    "transport.mqtt_broker": {"host": "127.0.0.1", "port": 0, "tls_port": 0, "websocket_port": 0}
}
"""A broker on free ports of 127.0.0.1."""

VERSIONS: Final = ("311", "5")
"""As Mosquitto's clients call them."""

_MARK: Final = "\x1f"


class MqttHub(WebHub):
    """A hub with a broker."""

    @property
    def mqtt_port(self) -> int:
        return int(self.run_file["listeners"]["mqtt_broker"]["port"])

    @property
    def mqtts_port(self) -> int:
        return int(self.run_file["listeners"]["mqtt_broker_tls"]["port"])

    @property
    def websocket_port(self) -> int:
        return int(self.run_file["listeners"]["mqtt_broker_websocket"]["port"])

    def publish(
        self,
        topic: str,
        payload: str | None,
        *options: str,
        version: str = "5",
        qos: int = 1,
    ) -> subprocess.CompletedProcess[str]:
        """Publish with ``mosquitto_pub``; without ``payload`` the options say what."""
        said = [] if payload is None else ["-m", payload]
        return self.mosquitto_pub("-V", version, "-t", topic, "-q", str(qos), *said, *options)

    def mosquitto_pub(
        self, *options: str, given: str = "", port: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run ``mosquitto_pub`` to its end."""
        return run("mosquitto_pub", *self._where(port), *options, given=given)

    def subscriber(self, *options: str, port: int | None = None) -> Subscriber:
        """Return a ``mosquitto_sub``, to be used with ``with``."""
        return Subscriber([*self._where(port), *options])

    def raw(self) -> Raw:
        """Return a connection on which nothing has been said."""
        return Raw(self.mqtt_port)

    def values(self, device: str, metric: str) -> list[float]:
        """Return what the history has of a series, oldest first."""
        return [value for _, value in stored(self.data).get((device, metric), ())]

    def wait_values(self, device: str, metric: str, values: list[float]) -> None:
        """Return as soon as the history has these values, and nothing else."""
        self.wait_until(
            lambda: self.values(device, metric) == values,
            f"{device} {metric} is {values}, not {self.values(device, metric)}",
        )

    def _where(self, port: int | None) -> list[str]:
        return ["-h", "127.0.0.1", "-p", str(port or self.mqtt_port)]


def run(*command: str, given: str = "") -> subprocess.CompletedProcess[str]:
    """Run a program of somebody else's to its end, and return what it printed."""
    return subprocess.run(
        command, input=given, capture_output=True, text=True, timeout=PATIENCE, check=False
    )


class Subscriber:
    """A ``mosquitto_sub`` that has subscribed when ``with`` begins.

    Messages are ``TOPIC PAYLOAD``; ``details`` has a format of ``mosquitto_sub`` for another.
    """

    def __init__(self, options: list[str], details: str = "%t %p") -> None:
        # Its debug lines tell when it has subscribed; messages are marked, to tell them apart.
        self._command = ["stdbuf", "-oL", "mosquitto_sub", "-d", *options]
        self._format = details
        self._messages: queue.Queue[str | None] = queue.Queue()
        self._subscribed = threading.Event()
        self._lines: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)

    def told(self, details: str) -> Self:
        """Have messages in another format of ``mosquitto_sub``."""
        self._format = details
        return self

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [*self._command, "-F", f"{_MARK}{self._format}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader.start()
        assert self._subscribed.wait(PATIENCE), self.said
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        # It reads to the end, which is there now.
        self._reader.join(PATIENCE)
        assert self._process is not None
        assert self._process.stdout is not None
        self._process.stdout.close()

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def said(self) -> str:
        """Everything it has printed beside messages."""
        return "\n".join(self._lines)

    def take(self, count: int = 1) -> list[str]:
        """Return the next messages, in their order."""
        messages: list[str] = []
        for _ in range(count):
            message = self._messages.get(timeout=PATIENCE)
            assert message is not None, f"it ended after {messages}:\n{self.said}"
            messages.append(message)
        return messages

    @property
    def waiting(self) -> int:
        """How many messages could be taken."""
        return self._messages.qsize()

    def rest(self) -> list[str]:
        """Return what it still gets until it ends."""
        messages: list[str] = []
        while (message := self._messages.get(timeout=PATIENCE)) is not None:
            messages.append(message)
        self.process.wait(PATIENCE)
        return messages

    def kill(self) -> None:
        """End it without a word to the broker."""
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it properly: it sends DISCONNECT."""
        # Told so while it prints a message, it prints it again and does not acknowledge it.
        waits = psutil.Process(self.process.pid)
        deadline = time.monotonic() + PATIENCE
        while waits.status() != psutil.STATUS_SLEEPING:
            assert time.monotonic() < deadline, self.said
            time.sleep(0.005)
        self.process.terminate()
        self.process.wait(PATIENCE)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            text = line.rstrip("\n")
            if text.startswith(_MARK):
                self._messages.put(text.removeprefix(_MARK))
                continue
            self._lines.append(text)
            if text.startswith("Subscribed (mid: "):
                self._subscribed.set()
        self._messages.put(None)
        self._subscribed.set()


class Raw:
    """A connection on which every byte is said and seen."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._version = 4

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, *packets: bytes) -> None:
        """Send packets in one write."""
        data = b"".join(packets)
        if data.startswith(b"\x10") and (at := data.find(b"\x00\x04MQTT", 0, 8)) > 0:
            self._version = data[at + 6]
        self._socket.sendall(data)

    def reset(self) -> None:
        """End the connection with a reset, as a crashed device may."""
        # Closing with this sends one (socket(7)).
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def expect(self, wanted: bytes | str) -> None:
        """Take exactly these bytes (or their hexadecimal digits) from the broker."""
        wanted = bytes.fromhex(wanted) if isinstance(wanted, str) else wanted
        got = b""
        while len(got) < len(wanted) and (data := self._socket.recv(len(wanted) - len(got))):
            got += data
        assert got == wanted, f"{got.hex(' ')} instead of {wanted.hex(' ')}"

    def packet(self) -> bytes:
        """Take the next packet; nothing when the broker has closed the connection."""
        head = self._socket.recv(1)
        length = shift = 0
        while head:
            byte = self._exactly(1)
            head += byte
            length |= (byte[0] & 0x7F) << shift
            shift += 7
            if byte[0] < 0x80:
                return head + self._exactly(length)
        return b""

    def expect_nothing(self) -> None:
        """Make sure that nothing is on its way: the next that comes answers an UNSUBSCRIBE.

        The answer to a PINGREQ would not do, since that does not wait for a commit.
        """
        five = self._version == 5
        self.send(packet(0xA2, b"\xff\xff" + _block(b"", self._version) + text("nothing")))
        self.expect("b004ffff0011" if five else "b002ffff")

    def is_silent(self) -> bool:
        """Tell whether the broker has said nothing yet, and not closed the connection either."""
        self._socket.setblocking(False)
        try:
            self._socket.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            return True
        finally:
            self._socket.settimeout(PATIENCE)
        return False

    def expect_end(self) -> None:
        """Make sure that the broker closes the connection without a further byte."""
        try:
            rest = self._socket.recv(1000)
        except ConnectionResetError:
            return
        assert rest == b"", rest.hex(" ")

    def finish(self) -> None:
        """Say nothing more; what comes can still be read."""
        self._socket.shutdown(socket.SHUT_WR)

    def cut(self) -> None:
        """Lose the connection: no DISCONNECT."""
        self._socket.close()

    def _exactly(self, count: int) -> bytes:
        data = b""
        while len(data) < count:
            more = self._socket.recv(count - len(data))
            assert more, f"cut off after {data.hex(' ')}"
            data += more
        return data


# Written from the specification alone, without the hub's own code.

PINGREQ: Final = b"\xc0\x00"
DISCONNECT: Final = b"\xe0\x00"


def text(value: str | bytes) -> bytes:
    """Return a UTF-8 string or binary data with its length before it."""
    raw = value.encode() if isinstance(value, str) else value
    return len(raw).to_bytes(2, "big") + raw


def packet(first: int, body: bytes) -> bytes:
    """Return a packet with its remaining length."""
    length, size = len(body), b""
    while True:
        length, digit = divmod(length, 128)
        size += bytes([digit | 0x80 if length else digit])
        if not length:
            return bytes([first]) + size + body


def connect(
    client_id: str,
    version: int = 4,
    *,
    clean: bool = True,
    keep_alive: int = 60,
    will: tuple[str, bytes, int] | None = None,
    will_properties: bytes = b"",
    user: str | None = None,
    password: str | None = None,
    properties: bytes = b"",
) -> bytes:
    """Return CONNECT of protocol level ``version``; a will is topic, payload and QoS."""
    flags = 0x02 if clean else 0
    body = text(client_id)
    if will is not None:
        topic, payload, qos = will
        flags |= 0x04 | qos << 3
        body += _block(will_properties, version) + text(topic) + text(payload)
    if user is not None:
        flags |= 0x80
        body += text(user)
    if password is not None:
        flags |= 0x40
        body += text(password)
    head = text("MQTT") + bytes([version, flags]) + keep_alive.to_bytes(2, "big")
    return packet(0x10, head + _block(properties, version) + body)


def publish(
    topic: str,
    payload: bytes,
    qos: int = 0,
    packet_id: int = 1,
    version: int = 4,
    *,
    retain: bool = False,
    dup: bool = False,
    properties: bytes = b"",
) -> bytes:
    """Return PUBLISH."""
    number = packet_id.to_bytes(2, "big") if qos else b""
    first = 0x30 | dup << 3 | qos << 1 | retain
    return packet(first, text(topic) + number + _block(properties, version) + payload)


def subscribe(
    topic_filter: str, qos: int = 0, packet_id: int = 1, version: int = 4, properties: bytes = b""
) -> bytes:
    """Return SUBSCRIBE of one filter; ``qos`` may have the other options of MQTT 5 in it."""
    head = packet_id.to_bytes(2, "big") + _block(properties, version)
    return packet(0x82, head + text(topic_filter) + bytes([qos]))


def _block(properties: bytes, version: int) -> bytes:
    return bytes([len(properties)]) + properties if version == 5 else b""


def tls_context(hub: HubProcess, certificate: tuple[Path, Path] | None = None) -> ssl.SSLContext:
    """Return what a client needs to trust the hub, and to show its certificate."""
    context = ssl.create_default_context(cafile=hub.ca)
    if certificate is not None:
        context.load_cert_chain(*certificate)
    return context


def mqtt_js(script: str, arguments: Mapping[str, object]) -> Any:
    """Run a script of ``tests/mqtt_js`` and return the JSON that it prints."""
    folder = Path(__file__).parent / "mqtt_js"
    done = run("node", str(folder / script), json.dumps(arguments))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)
