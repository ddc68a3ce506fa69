"""What people build today: paho-mqtt subscribes, and messages go into SQLite in batches.

As fast as that way honestly is: the network loop runs in the program's only thread, values are
kept as they come and committed when there are 5,000 or a second has passed. Messages are
acknowledged to the broker before they are stored, as paho-mqtt does by itself.

Started as ``python -m bench.mqtt_subscriber FOLDER BROKER_PORT``; prints the broker's port once it
is subscribed.
"""

from __future__ import annotations

import signal
import sqlite3
import sys
import time
from pathlib import Path
from typing import Any, Final

from paho.mqtt.client import Client, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion

FILE_NAME: Final = "readings.db"

BATCH: Final = 5_000
"""Messages that are committed at once at most."""

COMMIT_SECONDS: Final = 1.0
"""Longest time between two commits while messages wait."""


class _Program:
    def __init__(self, folder: Path, port: int) -> None:
        self._database = sqlite3.connect(folder / FILE_NAME)
        self._database.execute("PRAGMA journal_mode=WAL")
        self._database.execute("CREATE TABLE reading (time REAL, topic TEXT, value REAL)")
        self._database.commit()
        self._rows: list[tuple[float, str, float]] = []
        self._committed = time.monotonic()
        self._port = port
        self._client = Client(CallbackAPIVersion.VERSION2, "store")
        self._client.on_connect = self._subscribe
        self._client.on_subscribe = self._ready
        self._client.on_message = self._take
        self._client.connect("127.0.0.1", port)

    def run(self) -> None:
        while True:
            self._client.loop(0.1)
            if self._rows and time.monotonic() - self._committed > COMMIT_SECONDS:
                self._commit()

    def _subscribe(self, client: Client, *_: Any) -> None:
        client.subscribe("readings/#", 1)

    def _ready(self, *_: Any) -> None:
        print(self._port, flush=True)

    def _take(self, client: Client, data: object, message: MQTTMessage) -> None:
        self._rows.append((time.time(), message.topic, float(message.payload)))
        if len(self._rows) >= BATCH:
            self._commit()

    def _commit(self) -> None:
        self._database.executemany("INSERT INTO reading VALUES (?, ?, ?)", self._rows)
        self._database.commit()
        self._rows.clear()
        self._committed = time.monotonic()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, lambda *_: sys.exit())
    _Program(Path(sys.argv[1]), int(sys.argv[2])).run()
