"""Which mail addresses are taken: those to which a letter can go, and no others."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from tests.mail_server import MailServer

from motehub.alerting.letters import Letter, compose_message
from motehub.alerting.mail import send_letter
from motehub.alerting.plan import Mail
from motehub.core.mail_addresses import check_email
from motehub.errors import InvalidUser
from motehub.mail_addresses import MOST_CHARACTERS, is_address, sent_as


@pytest.mark.parametrize(
    ("address", "sent"),
    [
        ("anna@example.org", "anna@example.org"),
        ("root@localhost", "root@localhost"),
        ("a.b+c_d@sub.example.co.uk", "a.b+c_d@sub.example.co.uk"),
        ("o'neil@example.org", "o'neil@example.org"),
        ("anna@m\u00fcller.example", "anna@xn--mller-kva.example"),
        ("anna@MU\u0308LLER.example", "anna@xn--mller-kva.example"),
        ("anna@xn--mller-kva.example", "anna@xn--mller-kva.example"),
        ("me@nas_1.lan", "me@nas_1.lan"),
    ],
)
def test_an_address_and_what_servers_get(address: str, sent: str) -> None:
    """The name of the server in ASCII, before the @ as it was written."""
    assert sent_as(address) == sent
    assert is_address(address)
    assert is_address(f"Zo\u00eb <{address}>")


@pytest.mark.parametrize(
    "text",
    [
        "\u00e9@example.org",
        "anna@\u2026",
        "anna@b\u2026c",
        "anna@stra\u00dfe.example",
        "anna@\uff41.example",
        "anna\uff20example.org",
        "a@b@c",
        ".a@b",
        "a.@b",
        "a..b@c",
        '"a b"@c',
        "a@-b.example",
        "a@b..c",
        "a@b.",
        "a@[192.0.2.1]",
        "a\u200b@b.example",
        "a@b\u202e.example",
        "a(b)@c",
        f"{'a' * 65}@b.example",
        f"a@{'b' * 64}.example",
        "@",
        "",
    ],
)
def test_what_is_no_address(text: str) -> None:
    """Nobody finds out only when the letter that matters does not arrive."""
    assert sent_as(text) is None
    assert not is_address(text)


@given(st.emails())
def test_addresses_as_they_are_found_everywhere_are_taken(address: str) -> None:
    """What the RFC's grammar makes, as far as it fits into an envelope."""
    local = address.rpartition("@")[0]
    assume(len(address) <= MOST_CHARACTERS and len(local) <= 64)
    assert is_address(address)
    assert sent_as(address) == address
    assert check_email(f" {address} ") == address


TEXTS = st.one_of(
    st.text(max_size=40),
    st.text("ab.@<>,;:\"'()[]\\ \r\n\u00e9\u00fc\u00df\u2026\uff20xn-", max_size=20),
    st.builds("{}@{}".format, st.text(max_size=10), st.text(max_size=10)),
)


@given(TEXTS)
@example("a@b\r\nBcc: c@d")
@example("\u00fc <a@b>")
def test_whatever_is_taken_is_one_recipient_in_one_header(text: str) -> None:
    """A letter can be written to it, and goes to nobody else."""
    if not is_address(text):
        return
    letter = Letter((text,), "subject", "text")
    raw = compose_message(letter, "hub@example.org", "h", "k", 0).as_bytes()
    assert raw.isascii()
    message = email.message_from_bytes(raw, policy=email.policy.default)
    (to,) = message["To"].addresses
    assert not to.username.isspace()
    assert sent_as(to.addr_spec) == to.addr_spec
    assert message["Bcc"] is None
    assert message.get_content().strip() == "text"


def test_a_letter_to_a_domain_in_another_script_leaves() -> None:
    """The server need not know of anything but ASCII."""
    with MailServer(beyond_ascii=False) as server:
        mail = Mail("127.0.0.1", server.port, "none", "", "", "hub@b\u00fccher.example", ())
        refused = send_letter(mail, Letter(("anna@m\u00fcller.example",), "s", "t"), "k", 0, "h")
        assert refused == ""
        (taken,) = server.wait(1)
        assert taken["To"] == "anna@xn--mller-kva.example"
        assert taken["From"] == "h <hub@xn--bcher-kva.example>"


def test_people_hear_why_an_accent_before_the_at_is_refused() -> None:
    """It is a slip more often than an address."""
    with pytest.raises(InvalidUser, match="without accents"):
        check_email("\u00e9@example.org")
    with pytest.raises(InvalidUser, match=r"is no mail address\."):
        check_email("anna@\u2026")
    assert check_email("") == ""
