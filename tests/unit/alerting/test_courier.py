"""What people get: words, digests, limits, and services that Apprise knows."""

from __future__ import annotations

import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
from tests.harness import PATIENCE
from tests.receivers import Receiver

from motehub.alerting.apprise_notifier import Notifier
from motehub.alerting.book import Alert, AlertBook
from motehub.alerting.courier import GIVE_UP_SECONDS, Allowance, Courier
from motehub.alerting.desk import channels
from motehub.alerting.mail import NotDelivered, send_mail
from motehub.alerting.plan import Apprise, Mail
from motehub.alerting.wording import LINES, Told, Wording, compose
from motehub.languages import Words
from motehub.model import MICROSECONDS

EN = Words("en")
PARIS = ZoneInfo("Europe/Paris")
TIME = 1_767_225_600 * MICROSECONDS


def told(number: int, kind: str = "begins", severity: str = "warning", **more: str) -> Told:
    device = more.get("device", f"d{number}")
    text = more.get("text", f"{device} is too warm")
    return Told(number, kind, "r", severity, device, "t", text, "t above 5", TIME, TIME)


def test_one_alert_has_its_text_as_the_subject() -> None:
    """With severity, local time, rule and number in the text."""
    wording = compose([told(7)], "home", "https://hub.example/", PARIS, EN)
    assert wording.subject == "[home] Warning: d7 is too warm"
    assert "1 Jan 2026, 01:00:00 CET · rule r: t above 5 · alert 7" in wording.text
    assert "https://hub.example/device#d7" in wording.text


def test_an_alert_is_told_in_french() -> None:
    """Sentence, limit and times; the zone is named."""
    text = "d7: t is 21.5 °C (t above 5)"
    words = Words("fr")
    wording = compose([told(7, "over", text=text)], "home", "https://h/", PARIS, words)
    assert wording.subject == "[home] Fin : d7 : t vaut 21.5 °C (t au-dessus de 5)"
    assert "1 janv. 2026, 01:00:00 CET, depuis 1 janv. 2026, 01:00:00 CET" in wording.text
    assert "règle r : t au-dessus de 5 · alerte 7" in wording.text
    assert '<html lang="fr">' in wording.html
    many = compose([told(n) for n in range(3)] + [told(9, "over")], "home", "", PARIS, words)
    assert many.subject == "[home] 3 alertes, 1 terminée : d0, d1, d2, …"
    sao_paulo = ZoneInfo("America/Sao_Paulo")
    assert "31 Dec 2025, 21:00:00 UTC-03:00" in compose([told(7)], "h", "", sao_paulo, EN).text


def test_of_many_the_worst_is_first() -> None:
    """The subject counts them, and names some devices."""
    many = [told(n) for n in range(100)] + [told(100, severity="critical"), told(101, "over")]
    wording = compose(many, "home", "", PARIS, EN)
    assert wording.subject == "[home] Critical, 101 alerts, 1 over: d100, d0, d1, …"
    assert wording.text.startswith("CRITICAL  d100")
    assert f"and {len(many) - LINES} more" in wording.text


def test_what_devices_say_can_not_become_markup_or_headers() -> None:
    """Text is text, and a subject is one line."""
    wording = compose([told(1, text="a<b>\r\nBcc: x", device="<i>")], "h", "https://h", PARIS, EN)
    assert "<b>" not in wording.html
    assert "<i>" not in wording.html
    assert wording.subject == "[h] Warning: a<b>  Bcc: x"


def test_an_allowance_is_used_up_and_comes_back() -> None:
    """Some at once, then as many an hour as were said."""
    now = [0.0]
    allowance = Allowance(60, lambda: now[0])
    for _ in range(10):
        assert allowance.wait() == 0
        allowance.take()
    assert allowance.wait() == pytest.approx(60)
    now[0] = 60.0
    assert allowance.wait() == pytest.approx(0, abs=1e-6)


# Apprise imports what Python 3.13 has no more where that is there.
with_apprise = pytest.mark.filterwarnings("ignore:'imghdr' is deprecated:DeprecationWarning")
WORDING = Wording("subject", "text", "<p>html</p>")


@with_apprise
def test_a_service_that_apprise_knows() -> None:
    """It gets title and text; one that fails is in trouble, with its answer."""
    with Receiver() as receiver:
        notifier = Notifier(Apprise("n", f"json://127.0.0.1:{receiver.port}"))
        notifier.send(WORDING, "critical")
        said = json.loads(receiver.received[0].body)
        assert (said["title"], said["message"], said["type"]) == ("subject", "text", "failure")
        notifier.send(WORDING, "over")
        assert json.loads(receiver.received[1].body)["type"] == "success"
        receiver.behave = lambda _: 500
        with pytest.raises(NotDelivered, match=r"has not taken it.*500"):
            notifier.send(WORDING, "info")


@with_apprise
def test_an_address_that_apprise_does_not_know() -> None:
    """The owner is told where to look; the address is not repeated."""
    with pytest.raises(NotDelivered, match="see url of"):
        Notifier(Apprise("n", "nothing://secret")).send(WORDING, "info")


def test_without_apprise_it_is_said_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is an extra."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    with pytest.raises(NotDelivered, match=r"pip install 'motehub\[notify\]'"):
        Notifier(Apprise("n", "json://127.0.0.1")).send(WORDING, "info")


class Outbox:
    """Messages in ``alerts.db``, a courier of channel c, and a clock that jumps over each rest."""

    def __init__(self, folder: Path, refuse: Callable[[list[int]], Exception | None]) -> None:
        self.folder, self.refuse = folder, refuse
        self.sent: list[list[int]] = []
        self.now = TIME
        self.book = AlertBook(folder)
        self.book.register({"c": "somebody"})
        self.courier = Courier(self.book, "c", self.send, self.clock, 3600)

    def send(self, told: list[Told], key: str, now: int) -> str:
        numbers = [one.alert for one in told]
        if (error := self.refuse(numbers)) is not None:
            raise error
        self.sent.append(numbers)
        return ""

    def clock(self) -> int:
        return self.now

    def tell(self, *numbers: int) -> None:
        with self.book.writing("j", 0, self.now) as writing:
            for number in numbers:
                alert = Alert(
                    id=number, rule="r", subject=1, device_id=1, device="d", metric="t", unit="",
                    severity="warning", state="firing", began=TIME, noticed=TIME, ended=None,
                    value="", limits="", text="", notify="",
                )  # fmt: skip
                writing.tell("c", alert, self.now, self.now, "", told(number))

    def run(self, done: Callable[[], bool]) -> None:
        """Deliver until then; the clock goes to what is due next."""
        self.courier.start()
        deadline = time.monotonic() + PATIENCE
        while not done():
            assert time.monotonic() < deadline, (self.sent, channels(self.folder))
            self.now = max(self.now, self.book.waits("c") or 0)
            time.sleep(0.01)
        self.courier.stop()
        self.courier.join(PATIENCE)
        self.book.close()


@pytest.mark.parametrize(
    "error",
    [
        NotDelivered("the server answers 554: no", forever=True, about_all=False),
        RuntimeError("a fault"),
    ],
)
def test_what_is_refused_holds_up_nothing_else(tmp_path: Path, error: Exception) -> None:
    """It is halved until it is alone; the others are told, and the owner sees why it is not."""
    outbox = Outbox(tmp_path, lambda numbers: error if 3 in numbers else None)
    outbox.tell(*range(1, 9))
    outbox.run(lambda: sorted(one for sent in outbox.sent for one in sent) == [1, 2, 4, 5, 6, 7, 8])
    (row,) = channels(tmp_path)
    assert (row.waiting, row.delivered, row.given_up) == (1, 7, 0)
    assert row.failed >= 4


def test_what_hangs_holds_up_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody else tells the others; the owner sees that nobody has answered."""
    released = threading.Event()

    def refuse(numbers: list[int]) -> None:
        if numbers == [1]:
            released.wait(PATIENCE)

    monkeypatch.setattr("motehub.alerting.courier.HANGS_SECONDS", 0.1)
    outbox = Outbox(tmp_path, refuse)
    outbox.tell(1)
    first = outbox.courier
    first.start()
    deadline = time.monotonic() + PATIENCE
    while not first.hangs:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    outbox.courier = first.replaced()
    (row,) = channels(tmp_path)
    assert (row.waiting, row.failed, row.trouble) == (1, 1, "no answer within 0.00166667 min")
    outbox.tell(2)
    outbox.courier.start()
    while outbox.sent != [[2]]:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    released.set()
    for one in (first, outbox.courier):
        one.stop()
        one.join(PATIENCE)
    assert channels(tmp_path)[0].waiting == 0
    outbox.book.close()


def test_what_is_always_refused_is_given_up(tmp_path: Path) -> None:
    """After three days."""

    def refuse(_numbers: list[int]) -> Exception:
        outbox.now += GIVE_UP_SECONDS * MICROSECONDS // 2
        return NotDelivered("no", forever=True, about_all=False)

    outbox = Outbox(tmp_path, refuse)
    told_of: list[object] = []

    def is_over() -> bool:
        # Where nothing waits any more only what failed of late is told.
        told_of[:] = outbox.book.undelivered(0), outbox.book.undelivered(2**62)
        return channels(tmp_path)[0].given_up == 1 and told_of[1] == []

    outbox.tell(1)
    outbox.run(is_over)
    assert channels(tmp_path)[0].failed == 2
    assert told_of == [[("channel", "c", "no")], []]


def test_a_clock_that_jumps_gives_nothing_up(tmp_path: Path) -> None:
    """What is refused after the jump waits for its turn as ever, and arrives then."""

    def refuse_once(_numbers: list[int]) -> Exception | None:
        if outbox.now > TIME + 365 * 86_400 * MICROSECONDS:
            return None
        outbox.now += 5 * 365 * 86_400 * MICROSECONDS
        return NotDelivered("no", forever=True, about_all=False)

    outbox = Outbox(tmp_path, refuse_once)
    outbox.courier = Courier(outbox.book, "c", outbox.send, outbox.clock, 3600, lambda: TIME)
    outbox.tell(1)
    outbox.run(lambda: outbox.sent == [[1]])
    (row,) = channels(tmp_path)
    assert (row.waiting, row.given_up) == (0, 0)


@pytest.mark.parametrize("host", ["a" * 64 + ".example", "mail..example"])
def test_a_name_that_no_mail_server_has(host: str) -> None:
    """The owner is told where it stands."""
    mail = Mail(host, 1, "none", "hub", "x", "hub@example.org", ("a@example.org",))
    with pytest.raises(NotDelivered, match=r"can't be the name of a mail server: see host in"):
        send_mail(mail, WORDING, "k", TIME, "home")
