"""Alerts of a real hub: from a reading to a mail, events, webhooks, and what the owner does."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.alert_hub import AlertHub
from tests.mail_server import MailServer, plain

WARM = {"name": "freezer warm", "metric": "temperature", "devices": ["freezer*"], "above": -15}


class Stand:
    """A hub, its mail server and a token that may write."""

    def __init__(self, hub: AlertHub, server: MailServer) -> None:
        self.hub, self.server = hub, server
        self.token = hub.token("w")
        self.admin = hub.token("a", "admin")


@pytest.fixture(scope="module")
def stand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    data = tmp_path_factory.mktemp("alerts") / "data"
    with MailServer() as server, AlertHub(data, server, [WARM]) as hub:
        yield Stand(hub, server)


def test_a_reading_becomes_a_mail(stand: Stand) -> None:
    """At once; and another one when it is over."""
    stand.hub.say(stand.token, -20)
    began = time.time()
    stand.hub.say(stand.token, -3.5)
    (mail,) = stand.server.wait(1)
    assert stand.server.times[0] - began < 10
    assert mail["Subject"] == (
        "[motehub] Warning: freezer: temperature is -3.5 °C (temperature above -15)"
    )
    assert "rule freezer warm" in plain(mail)
    stand.hub.say(stand.token, -18)
    over = stand.server.wait(2)[1]
    assert str(over["Subject"]).startswith("[motehub] Over: freezer: temperature is -18 °C again")
