"""A hub on a small disk that is filled at full speed: run in a mount namespace of its own.

``unshare --map-root-user --mount python -m tests.fault.budget_run FOLDER``; exit status 0 means
that all held. The disk is a file system in memory with room for a part of what comes.
"""

from __future__ import annotations

import http
import http.client
import subprocess
import sys
import threading
import time
from contextlib import closing
from pathlib import Path
from typing import Final

from tests.harness import OPEN, recent
from tests.web_hub import WEB, WebHub

from motehub.model import MICROSECONDS
from motehub.stores.sqlite import SqliteHistory

DISK: Final = 130_000_000
BUDGET: Final = 20_000_000
DAYS: Final = 40
DAY: Final = 86_400
POST: Final = 4_800
"""Readings of one post: a day has a whole number of them."""

SETTINGS: Final = {
    **OPEN,
    **WEB,
    "journal": {"size": "16 MB"},
    "retention": {"raw": "forever", "minute": "forever", "disk_budget": f"{BUDGET} B"},
}


class Device(threading.Thread):
    """Posts a reading of each second of ``DAYS`` days, as fast as they are acknowledged."""

    def __init__(self, hub: WebHub, token: str, name: str, first: int) -> None:
        super().__init__(name=name)
        self.first = first
        self.acknowledged = 0
        self.trouble = ""
        self._port = hub.web_port
        self._token = token

    def run(self) -> None:
        """Post until all is sent, or something is not taken."""
        headers = {"Authorization": f"Bearer {self._token}"}
        path = "/api/v1/write?precision=s"
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=100)) as link:
            for start in range(self.first, self.first + DAYS * DAY, POST):
                lines = (
                    f"m,device={self.name} v={t % 997}.5 {t}" for t in range(start, start + POST)
                )
                body = "\n".join(lines)
                status, said = self._post(link, path, body, headers)
                while status == http.HTTPStatus.SERVICE_UNAVAILABLE:
                    # The journal is full at times: it asks for that, and has taken nothing.
                    time.sleep(0.05)
                    status, said = self._post(link, path, body, headers)
                if status >= http.HTTPStatus.MULTIPLE_CHOICES:
                    self.trouble = f"{status} {said[:300]!r}"
                    return
                self.acknowledged += POST

    def _post(
        self, link: http.client.HTTPConnection, path: str, body: str, headers: dict[str, str]
    ) -> tuple[int, bytes]:
        link.request("POST", path, body, headers)
        answer = link.getresponse()
        return answer.status, answer.read()


def main(folder: Path) -> None:
    """Fill the disk, and see what is left."""
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK}", "motehub-test", str(disk)]
    subprocess.run(mount, check=True)
    first = recent(0) // DAY * DAY - DAYS * DAY
    with WebHub(disk / "data", SETTINGS) as hub:
        token = hub.token("w")
        devices = [Device(hub, token, f"d{number}", first) for number in range(2)]
        for one in devices:
            one.start()
        for one in devices:
            one.join()
        assert [one.trouble for one in devices] == ["", ""]
        hub.wait_folded()
        hub.wait_until(lambda: _is_kept(hub), "the history fits")
        report = hub.status()["writer"]["retention"]
        assert report["trouble"] is None, report
        assert "oldest readings are deleted" in hub.log
        assert "disk is full" not in hub.log
        assert hub.stop() == 0
    with closing(SqliteHistory(disk / "data")) as store:
        # What was not summed up by hour and day when it was last looked at came on top.
        assert store.used_bytes() < 1.5 * BUDGET
        _check(store, {one.name: one.acknowledged for one in devices}, first)


def _is_kept(hub: WebHub) -> bool:
    report = hub.status()["writer"]["retention"]
    return "budget_told" in report and report["used"] <= BUDGET


def _check(store: SqliteHistory, acknowledged: dict[str, int], first: int) -> None:
    """See that all is summed up, and that what was not deleted is there, reading by reading."""
    names = {one.device.id: one.device.name for one in store.devices()}
    assert len(names) == len(acknowledged)
    for one in store.registry()[1]:
        count = acknowledged[names[one.device]]
        assert count == DAYS * DAY
        pieces = store.rollups(one.id, "minute", 0, 2**62)
        assert sum(sum(piece.counts) for piece in pieces) == count
        edge = store.kept(one.id).raw // MICROSECONDS
        assert first < edge < first + DAYS * DAY, (first, edge)
        times = [time for piece, _ in store.readings(one.id, 0, 2**62) for time in piece]
        assert times == [time * MICROSECONDS for time in range(edge, first + count)], (
            len(times),
            edge,
            first,
        )


if __name__ == "__main__":
    main(Path(sys.argv[1]))
