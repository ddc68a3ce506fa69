"""Mail servers that are down, slow or not who they should be; hubs that are killed meanwhile."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest
from tests.alert_hub import AlertHub
from tests.mail_server import PASSWORD, USER, MailServer, plain
from tests.ports import free_port
from tests.web_hub import WEB

WARM: dict[str, object] = {"name": "warm", "metric": "temperature", "above": 5}
FAST = {**WEB, "alerts": {"rate": 3600}}


def kill(hub: AlertHub) -> None:
    """End hub, writer and alerts at once."""
    with suppress(ProcessLookupError):
        os.killpg(hub.pid, signal.SIGKILL)
    hub.process.wait()


def kill_alerts(hub: AlertHub) -> None:
    """End the process of alerts alone."""
    pid = hub.status()["consumers"]["alerts"]["pid"]
    if pid:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def states(hub: AlertHub) -> dict[str, str]:
    """Return the state of the newest alert of each device."""
    return {row["device"]: row["state"] for row in reversed(hub.json("alerts", "list", "--all"))}


def said(server: MailServer) -> list[tuple[str, str]]:
    """Return what mails tell: the word and the number of the alert, for each Message-ID once."""
    mails = {str(one["Message-ID"]): plain(one) for one in server.mails}
    found = []
    for mail in mails.values():
        found += re.findall(r"^(WARNING|STILL|OVER)  .*\n.* alert (\d+)\s*$", mail, re.MULTILINE)
    return found


def told(server: MailServer, text: str) -> int:
    """Return how many mails (each Message-ID once) say this."""
    mails = {str(one["Message-ID"]): plain(one) for one in server.mails}
    return sum(one.count(text) for one in mails.values())


def test_killed_in_every_state_each_alert_is_told_once(tmp_path: Path) -> None:
    """Pending, firing, recovering and over: whatever is killed in between, one mail for each."""
    port = free_port()
    with MailServer(port=port) as server:
        rules: list[dict[str, object]] = [
            {**WARM, "for": "3s", "clear_for": "3s", "hysteresis": 1},
            {"name": "gone", "devices": ["still"], "silent": "3s"},
        ]
        hub = AlertHub(tmp_path / "data", server, rules, FAST)
        with hub:
            token = hub.token("w")
            hub.say(token, 9)
            hub.say(token, 1, device="still")
            kill(hub)  # pending
            hub.start()
            server.wait(1)
            kill_alerts(hub)  # firing
            hub.wait_until(lambda: states(hub).get("freezer") == "firing", "it fires")
            hub.wait_until(lambda: told(server, "WARNING  still") == 1, "silence is told")
            hub.say(token, 1)
            # On a machine that is slow it may be over before it was looked at.
            hub.wait_until(lambda: states(hub)["freezer"] in {"recovering", "ok"}, "it recovers")
            kill(hub)  # recovering
            hub.start()
            hub.wait_until(lambda: told(server, "OVER  freezer") == 1, "it is over")
            hub.say(token, 2, device="still")
            hub.wait_until(lambda: told(server, "OVER  still") == 1, "it speaks")
            kill(hub)  # over
            hub.start()
            hub.say(token, 9, device="last")
            hub.wait_until(lambda: told(server, "WARNING  last") == 1, "a new one is told")
            counts = Counter(said(server))
            assert set(counts.values()) == {1}, counts
            assert {word for word, _ in counts} == {"WARNING", "OVER"}

            def events() -> list[str]:
                rows = hub.json("events")
                return [one["text"] for one in rows if one["kind"] == "alert"]

            hub.wait_until(lambda: any("last" in one for one in events()), "its event is there")
            assert sum("freezer: temperature is 9" in one for one in events()) == 1


def test_a_mail_server_that_is_down_holds_up_nothing(tmp_path: Path) -> None:
    """Readings go on; when it is back, few mails tell all that came meanwhile."""
    port = free_port()
    mail = {"host": "127.0.0.1", "port": port, "tls": "none"}
    mail |= {"sender": "hub@example.org", "recipients": ["owner@example.org"]}
    hub = AlertHub(tmp_path / "data", None, [WARM], {**FAST, "mail": mail})
    with hub:
        token = hub.token("w")
        hub.say(token, 9, device="first")

        def trouble() -> str:
            return str(hub.json("alerts", "channels")[0]["trouble"])

        hub.wait_until(lambda: "can't be reached" in trouble(), "it is down")

        def undelivered() -> list[tuple[str, str]]:
            rows = hub.status()["consumers"]["alerts"]["undelivered"]
            return [(one["kind"], one["name"]) for one in rows if "127.0.0.1" in one["reason"]]

        hub.wait_until(lambda: undelivered() == [("channel", "mail")], "the health says so")
        assert "channel mail: the server 127.0.0.1:" in hub.cli("doctor").stdout
        seen = [
            json.loads(hub.curl("/api/v1/health", token=hub.token(f"t-{one}", one))[2])
            for one in ("read", "admin")
        ]
        assert ["undelivered" in one["consumers"]["alerts"] for one in seen] == [False, True]
        for number in range(20):
            hub.say(token, 9, device=f"more-{number:02}")
        hub.wait_until(lambda: len(states(hub)) == 21, "all are known")
        with MailServer(port=port) as server:
            hub.wait_until(lambda: told(server, "WARNING  ") == 21, "all are told")
            # The first goes out alone, as it was tried; of the others one mail tells.
            assert len(server.mails) <= 3
            subjects = [str(one["Subject"]) for one in server.mails]
            assert any("20 alerts: more-00, more-01, more-02, …" in one for one in subjects)
            hub.wait_until(lambda: undelivered() == [], "the health says that it is well again")
        assert hub.stop() == 0


def test_a_mail_server_that_does_not_answer_or_take(tmp_path: Path) -> None:
    """The owner is told what it says, or that it says nothing."""
    with MailServer() as server:

        def trouble(timeout: str) -> str:
            hub = AlertHub(tmp_path / "data", server, [], {"mail": {"timeout": timeout}})
            done = hub.cli("mail", "test", "--config", str(hub.config))
            assert done.returncode == 1
            return done.stderr

        server.hanging.set()
        assert "no answer within 1 s" in trouble("1s")
        server.hanging.clear()
        server.answer = "452 4.3.1 no space"
        assert "answers 452: 4.3.1 no space" in trouble("2m")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and the key."""
    folder = tmp_path_factory.mktemp("mail")
    paths = folder / "mail.crt", folder / "mail.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += [
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=mail",
        "-addext",
        "subjectAltName=IP:127.0.0.1",
    ]
    subprocess.run(
        [*command, "-out", paths[0], "-keyout", paths[1]], check=True, capture_output=True
    )
    return paths


# The server can't tell that its own listener has TLS already.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS:UserWarning")
@pytest.mark.parametrize("tls", ["starttls", "tls"])
def test_mail_over_tls_with_a_password(
    tmp_path: Path, certificate: tuple[Path, Path], tls: str
) -> None:
    """The certificate is checked, and the password is shown to nobody else."""
    secret = tmp_path / "password"
    secret.write_text(f"{PASSWORD}\n", "utf-8")
    with MailServer(tls, certificate) as server:
        mail: dict[str, object] = {"tls": tls, "user": USER, "password_file": str(secret)}
        for trusted in (False, True):
            more = {"ca": str(certificate[0])} if trusted else {}
            hub = AlertHub(tmp_path / f"data-{trusted}", server, [], {"mail": {**mail, **more}})
            done = hub.cli("mail", "test", "--config", str(hub.config))
            assert done.returncode == int(not trusted), done.stderr
            assert PASSWORD not in done.stderr
            assert ("certificate is not to be trusted" in done.stderr) is not trusted
        assert [str(one["Subject"]) for one in server.mails] == ["[motehub] Test"]
        assert server.users == [USER]
        secret.write_text("wrong", "utf-8")
        done = hub.cli("mail", "test", "--config", str(hub.config))
        assert done.returncode == 1
        assert "refuses user or password" in done.stderr
        secret.write_text("grün", "utf-8")
        done = hub.cli("mail", "test", "--config", str(hub.config))
        assert done.returncode == 1
        assert "must be ASCII" in done.stderr
