"""Back-ups that are made while a hub writes, and hubs that begin anew from them."""

from __future__ import annotations

import http.client
import json
import threading
from contextlib import closing
from pathlib import Path

from tests.alert_hub import AlertHub
from tests.harness import cli, stored
from tests.mail_server import MailServer
from tests.receivers import Receiver
from tests.web_hub import WEB, WebHub
from tests.webhook_hub import SECRET

BATCH = 20
SERIES = "temperature"


class Sender(threading.Thread):
    """Posts readings one after the other until told to end; knows which were acknowledged."""

    def __init__(self, hub: WebHub, device: str) -> None:
        super().__init__(daemon=True)
        self._port = hub.web_port
        self._headers = {"Authorization": f"Bearer {hub.token(device)}"}
        self._ending = threading.Event()
        self.device = device
        self.acknowledged = 0

    def run(self) -> None:
        with closing(http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)) as connection:
            self._post(connection)

    def _post(self, connection: http.client.HTTPConnection) -> None:
        while not self._ending.is_set():
            begin = self.acknowledged
            readings = [
                {
                    "device": self.device,
                    "metric": SERIES,
                    "value": float(number),
                    "time": 1_700_000_000 + number,
                }
                for number in range(begin, begin + BATCH)
            ]
            try:
                connection.request("POST", "/api/v1/readings", json.dumps(readings), self._headers)
                answer = connection.getresponse()
                answer.read()
            except (OSError, http.client.HTTPException):
                return
            if answer.status != 200:
                return
            self.acknowledged += BATCH

    def end(self) -> None:
        self._ending.set()
        self.join()


def test_nothing_is_missing_or_doubled_after_a_restore(tmp_path: Path) -> None:
    """What was acknowledged before a back-up is there once, whatever was written meanwhile."""
    with WebHub(tmp_path / "data", {**WEB, "hub": {"admission": "open"}}) as hub:
        senders = [Sender(hub, f"device{number}") for number in range(3)]
        for sender in senders:
            sender.start()
        made: list[tuple[Path, dict[str, int]]] = []
        for number, ending in enumerate(("tar", "tar.gz", "tar.zst", "tar.zst", "tar.zst")):
            least = 400 * (number + 1)
            hub.wait_until(
                lambda n=least: min(one.acknowledged for one in senders) >= n,  # type: ignore[misc]
                "readings are acknowledged",
            )
            before = {one.device: one.acknowledged for one in senders}
            file = tmp_path / f"{number}.{ending}"
            done = hub.cli("backup", str(file))
            assert done.returncode == 0, done.stderr
            assert file.stat().st_mode & 0o777 == 0o600
            made.append((file, before))
        hub.kill()
        for sender in senders:
            sender.end()
    for file, before in (made[0], made[-1]):
        folder = tmp_path / f"restored-{file.name}"
        done = cli("restore", str(file), data=folder)
        assert done.returncode == 0, done.stderr
        with WebHub(folder, WEB) as restored:
            restored.wait_folded()
            found = stored(folder)
            for device, count in before.items():
                values = [value for _, value in found[device, SERIES]]
                assert values == [float(number) for number in range(len(values))]
                assert count <= len(values)
                row = restored.device(device)
                assert row["stored"] == len(values)
                assert row["duplicate"] == 0
            assert "frames are missing" not in restored.log
            # The old tokens are good, and the hub goes on.
            sender = Sender(restored, "another")
            sender.start()
            restored.wait_until(lambda: sender.acknowledged > 0, "it takes readings")  # noqa: B023
            sender.end()
            assert "Traceback" not in restored.log


def test_what_was_told_before_a_backup_is_not_told_again(tmp_path: Path) -> None:
    """Webhooks and alerts go on after a restore where they were, and begin with what is new."""
    with MailServer() as mail, Receiver() as receiver:
        rule = {"name": "warm", "devices": ["freezer"], "metric": SERIES, "above": -10}

        def made(folder: str) -> AlertHub:
            hub = AlertHub(tmp_path / folder, mail, [rule])
            text = hub.config.read_text("utf-8")
            text += f'\n[[webhook]]\nname = "all"\nsecret = "{SECRET}"\n'
            text += f'url = "{receiver.url}"\nevents = ["readings"]\ninterval = "50ms"\n'
            hub.config.write_text(text, "utf-8")
            return hub

        with made("data") as hub:
            token = hub.token("freezer")
            hub.say(token, -5)
            hub.wait_until(lambda: len(mail.mails) == 1, "an alert is mailed")
            hub.wait_until(lambda: len(receiver.received) == 1, "a reading is told")
            hub.wait_until(
                lambda: hub.json("webhooks", "list")[0]["delivered"] == 1, "it is noted as told"
            )
            hub.wait_until(
                lambda: hub.json("alerts", "channels")[0]["delivered"] == 1, "so is the mail"
            )
            assert hub.cli("backup", str(tmp_path / "b.tar.zst")).returncode == 0
            # It is lost, and the restored hub has other frames at these positions.
            for value in (-6, -7, -8):
                hub.say(token, value)
            hub.kill()
        assert cli("restore", str(tmp_path / "b.tar.zst"), data=tmp_path / "again").returncode == 0
        told = len(receiver.received)
        with made("again") as hub:
            hub.say(token, -4)
            hub.say(token, -30)
            hub.wait_until(lambda: len(mail.mails) == 2, "the alert is over")
            hub.wait_until(
                lambda: b'"value":-30.0' in b"".join(one.body for one in receiver.received),
                "new readings are told",
            )
            values = b"".join(one.body for one in receiver.received[told:])
            assert b'"value":-5.0' not in values
            hub.wait_folded()
            assert [value for _, value in stored(hub.data)["freezer", SERIES]] == [-5, -4, -30]
            assert hub.stop() == 0
        assert len(mail.mails) == 2
