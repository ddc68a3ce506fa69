"""Another machine of the local network, as far as multicast DNS goes: on loopback alone.

Written from RFC 1035 and RFC 6762, without the library that the hub uses.
"""

from __future__ import annotations

import math
import socket
import struct
import threading
import time
from contextlib import suppress
from typing import Any, Final, Self

A: Final = 1
PTR: Final = 12
TXT: Final = 16
SRV: Final = 33

_GROUP: Final = "224.0.0.251"
_PORT: Final = 5353
_LOOPBACK: Final = socket.inet_aton("127.0.0.1")
_RESPONSE: Final = 0x8400
_IN: Final = 1

Record = tuple[str, int, Any]


def ask(name: str, kind: int, seconds: float = 0.5, about: str = "") -> list[Record]:
    """Return the records of the first answer to a question, or none if nobody answers.

    Several machines may answer: the first answer is meant that has a record of the name ``about``.
    Datagrams get lost on busy machines, so it is asked again every second.
    """
    ends = time.monotonic() + seconds
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _LOOPBACK)
        question = struct.pack(">6H", 7, 0, 1, 0, 0, 0) + _written(name) + _pair(kind, _IN)
        asked = -math.inf
        while (now := time.monotonic()) < ends:
            if now - asked >= 1:
                asking.sendto(question, (_GROUP, _PORT))
                asked = now
            asking.settimeout(min(ends, asked + 1) - now)
            with suppress(TimeoutError):
                records = _records(asking.recv(9000))
                if not about or about in {name for name, _, _ in records}:
                    return records
        return []


class Holder:
    """A machine that has a name already, and says so to everybody who asks."""

    def __init__(self, name: str, address: str) -> None:
        self._name = name
        self._address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        self._socket.bind(("", _PORT))
        group = socket.inet_aton(_GROUP) + _LOOPBACK
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, group)
        self._socket.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, _LOOPBACK)
        self._thread = threading.Thread(target=self._answer, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *what: object) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def _answer(self) -> None:
        record = _written(self._name) + struct.pack(">2HIH", A, 0x8000 | _IN, 120, 4)
        record += socket.inet_aton(self._address)
        answer = struct.pack(">6H", 0, _RESPONSE, 0, 1, 0, 0) + record
        while data := self._socket.recv(9000):
            flags, questions = struct.unpack_from(">2H", data, 2)
            if not flags & 0x8000 and questions and _name(data, 12)[0] == self._name:
                self._socket.sendto(answer, (_GROUP, _PORT))


def _written(name: str) -> bytes:
    labels = [label.encode() for label in name.split(".")]
    return b"".join(bytes([len(one)]) + one for one in labels) + b"\0"


def _pair(first: int, second: int) -> bytes:
    return struct.pack(">2H", first, second)


def _records(data: bytes) -> list[Record]:
    questions, *counts = struct.unpack_from(">4H", data, 4)
    position = 12
    for _ in range(questions):
        position = _name(data, position)[1] + 4
    found: list[Record] = []
    for _ in range(sum(counts)):
        name, position = _name(data, position)
        kind, _, _, length = struct.unpack_from(">2HIH", data, position)
        position += 10
        found.append((name, kind, _value(data, kind, position, length)))
        position += length
    return found


def _value(data: bytes, kind: int, position: int, length: int) -> Any:
    if kind == A:
        return socket.inet_ntoa(data[position : position + 4])
    if kind == PTR:
        return _name(data, position)[0]
    if kind == SRV:
        return struct.unpack_from(">H", data, position + 4)[0], _name(data, position + 6)[0]
    return data[position : position + length]


def _name(data: bytes, position: int) -> tuple[str, int]:
    """Return the name at ``position`` and where what follows it begins."""
    labels: list[str] = []
    end = 0
    while length := data[position]:
        if length & 0xC0:
            end = end or position + 2
            position = struct.unpack_from(">H", data, position)[0] & 0x3FFF
            continue
        labels.append(data[position + 1 : position + 1 + length].decode())
        position += 1 + length
    return ".".join(labels), end or position + 1
