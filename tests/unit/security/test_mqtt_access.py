"""Who may connect to the broker and what each may do there, with real tokens and certificates."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from motehub.core.registry import Registry
from motehub.core.tokens import Tokens
from motehub.frames import Batch
from motehub.model import MICROSECONDS, Admission, Scope
from motehub.protocols.mqtt.reason_codes import ReasonCode
from motehub.security.authority import Authority
from motehub.security.mqtt_access import ANONYMOUS, Gatekeeper, Rights
from motehub.security.mqtt_grants import Grants, Wanted
from motehub.security.mqtt_rules import Anonymous, Rule
from motehub.security.tls import ServerTls

NOW = 1_700_000_000 * MICROSECONDS
CERTIFICATE = ("ab" * 32, "gateway")


class Stand:
    """A gatekeeper on real registries; settings go to the gatekeeper."""

    def __init__(self, *rules: Rule, **settings: Any) -> None:
        self.tokens = Tokens()
        self.registry = Registry()
        self.gate = Gatekeeper(self.tokens, self.registry, rules=rules, **settings)

    def token(
        self,
        *scopes: Scope,
        devices: tuple[str, ...] = (),
        name: str = "t",
        expires: int | None = None,
    ) -> bytes:
        """Return the secret of a new token."""
        return self.tokens.add(Batch(), name, scopes, devices, NOW, expires=expires).encode()

    def enter(
        self,
        password: bytes | None = None,
        certificate: tuple[str, str] | None = None,
        client_id: str = "esp-1",
        now: int = NOW,
    ) -> Rights:
        """Connect, and be admitted."""
        rights = self.gate.admit(client_id, "any", password, certificate, "192.0.2.1", now)
        assert isinstance(rights, Rights), rights
        return rights

    def refused(self, password: bytes | None = None, client_id: str = "esp-1") -> ReasonCode:
        """Connect, and be refused."""
        rights = self.gate.admit(client_id, "any", password, None, "192.0.2.1", NOW)
        assert isinstance(rights, ReasonCode)
        return rights

    def add_device(self, name: str, identity: str) -> None:
        self.registry.add(Batch(), name, "mqtt_broker", identity, Admission.ACCEPTED, NOW)


# For each kind of client: what it may publish to and not, subscribe to and not.
REPORTS = ("state/join", "state/leave", "led/status", "button/status", "photoresistor/status")
CASES: dict[str, tuple[tuple[Scope, ...], tuple[str, ...], str, str, str, str]] = {
    "write": (
        (Scope.WRITE,),
        (),
        "readings/a/t readings/a tele/x/SENSOR state/join led/status",
        "commands/a led/command tele/x/RESULT state/nameAssign $SYS/x other",
        "commands/# commands/a/b led/command state/nameAssign $share/g/commands/+",
        "# readings/a/t +/a $SYS/# led/status $share/g/#",
    ),
    "read": (
        (Scope.READ,),
        (),
        "",
        "readings/a/t state/join commands/a",
        "readings/# readings/+/t tele/+/SENSOR led/status state/join",
        "# state/+ commands/# commands/a $SYS/# tele/# led/+/x",
    ),
    "control": (
        (Scope.CONTROL,),
        (),
        "commands/a commands/a/led led/command",
        "readings/a state/nameAssign",
        "",
        "commands/a readings/a",
    ),
    "admin": (
        (Scope.ADMIN,),
        (),
        "readings/a/t anything $other/x commands/a",
        "$SYS $SYS/x",
        "# $SYS/# +/+ $share/g/#",
        "",
    ),
    "bound write": (
        (Scope.WRITE,),
        ("kitchen", "oven"),
        "readings/kitchen/t readings/oven state/join",
        "readings/hall/t readings commands/kitchen tele/x/SENSOR readings/",
        "commands/kitchen commands/oven/# commands/kitchen/+ led/command $share/g/commands/oven",
        "commands/+ commands/hall commands/# readings/kitchen # commands",
    ),
    "bound read": (
        (Scope.READ,),
        ("kitchen",),
        "",
        "readings/kitchen/t",
        "readings/kitchen/# readings/kitchen/+",
        "readings/# readings/+/t led/status tele/+/SENSOR",
    ),
    "bound control": (
        (Scope.CONTROL,),
        ("kitchen",),
        "commands/kitchen commands/kitchen/led",
        "commands/hall led/command readings/kitchen",
        "",
        "commands/kitchen",
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_a_token_may_what_its_scopes_and_devices_say(case: str) -> None:
    """A token is a password; whole filters are allowed or none of them."""
    scopes, devices, publish, not_publish, subscribe, not_subscribe = CASES[case]
    stand = Stand(reading_topics=["tele/+/SENSOR"])
    rights = stand.enter(stand.token(*scopes, devices=devices))
    assert rights.vouched
    assert rights.is_kept
    # Twice: the second time it is remembered.
    for _ in range(2):
        assert [one for one in publish.split() if not rights.may_publish(one)] == []
        assert [one for one in not_publish.split() if rights.may_publish(one)] == []
        assert [one for one in subscribe.split() if not rights.may_subscribe(one)] == []
        assert [one for one in not_subscribe.split() if rights.may_subscribe(one)] == []


def test_a_wrong_password_is_refused_whatever_strangers_may() -> None:
    """Whoever shows something has to show something good; a name alone is nothing."""
    for anonymous in Anonymous:
        stand = Stand(anonymous=anonymous)
        secret = stand.token(Scope.WRITE, expires=NOW + 5)
        for wrong in (b"x", secret[:-1], secret + b"\xff", b"\xff" * 65_535):
            assert stand.refused(wrong) is ReasonCode.BAD_USER_NAME_OR_PASSWORD
        late = stand.gate.admit("c", None, secret, None, "192.0.2.1", NOW + 5)
        assert late is ReasonCode.BAD_USER_NAME_OR_PASSWORD


@pytest.mark.parametrize(
    ("anonymous", "trusted", "expected"),
    [
        (Anonymous.BY_ADMISSION, False, "sessions"),
        (Anonymous.BY_ADMISSION, True, "all"),
        (Anonymous.SESSIONS, True, "sessions"),
        (Anonymous.ALL, False, "all"),
        (Anonymous.NONE, True, "none"),
    ],
)
def test_strangers_may_what_the_setting_says(
    anonymous: Anonymous, trusted: bool, expected: str
) -> None:
    """The topics of device sessions, everything but $SYS, or nothing at all."""
    stand = Stand(anonymous=anonymous, trusted=trusted)
    if expected == "none":
        assert stand.refused() is ReasonCode.NOT_AUTHORIZED
        assert stand.refused(b"") is ReasonCode.NOT_AUTHORIZED
        return
    rights = stand.enter()
    assert not rights.vouched
    assert rights.principal == ANONYMOUS
    assert all(map(rights.may_publish, REPORTS))
    assert rights.may_subscribe("state/nameAssign")
    assert rights.may_subscribe("led/command")
    assert not rights.may_publish("$SYS/x")
    everything = expected == "all"
    assert rights.is_kept is everything
    for topic in ("readings/a/t", "led/command", "state/nameAssign", "commands/a", "$x", "a"):
        assert rights.may_publish(topic) is everything, topic
    for wanted in ("#", "$SYS/#", "led/status", "state/+", "commands/a"):
        assert rights.may_subscribe(wanted) is everything, wanted


def test_a_certificate_is_the_device_that_it_names() -> None:
    """Its topics are that device's; rules may give it more."""
    rights = Stand().enter(certificate=CERTIFICATE)
    assert rights.may_publish("readings/gateway/t")
    assert rights.may_subscribe("commands/gateway")
    assert rights.may_write_device("gateway")
    for topic in ("readings/other/t", "commands/gateway", "readings"):
        assert not rights.may_publish(topic)
    assert not rights.may_write_device("other")
    more = Stand(Rule(user="gateway", publish=["readings/#"])).enter(certificate=CERTIFICATE)
    assert more.may_publish("readings/other/t")
    assert more.may_write_device("other")


@pytest.mark.parametrize("name", ["", "#", "+", "a/b", "$SYS"])
def test_a_certificate_whose_name_is_no_level_is_no_device(name: str) -> None:
    """It gives no topics, but rules that fit it do."""
    rule = Rule(user=name or "ab*", publish=["x"])
    rights = Stand(rule).enter(certificate=("ab" * 32, name))
    assert rights.vouched
    assert rights.may_publish("x")
    for topic in (f"readings/{name}/t", "readings/a/t", "readings//t"):
        assert not rights.may_publish(topic)
    assert not rights.may_write_device(name)


def test_token_and_certificate_together_may_what_either_may() -> None:
    """And they are both of it: their rules apply, and one that ends ends the connection."""
    stand = Stand(Rule(user="t", publish=["a"]), Rule(user="gateway", publish=["b"]))
    rights = stand.enter(stand.token(Scope.WRITE, devices=("kitchen",)), CERTIFICATE)
    for topic in ("readings/kitchen/t", "readings/gateway/t", "a", "b"):
        assert rights.may_publish(topic)
    stand.tokens.revoke(Batch(), "t")
    assert not rights.is_current(NOW)


def test_a_denial_wins_over_everything() -> None:
    """Over scopes, bound devices and other rules, whatever their order."""
    deny = Rule(
        user="*", deny_publish=["readings/+/secret", "a/#"], deny_subscribe=["commands/oven/#"]
    )
    allow = Rule(user="t", publish=["a/b"])
    for rules in ((deny, allow), (allow, deny)):
        stand = Stand(*rules)
        bound = stand.enter(stand.token(Scope.WRITE, devices=("kitchen", "oven")))
        admin = stand.enter(stand.token(Scope.ADMIN, name="root"))
        for rights in (bound, admin):
            assert rights.may_publish("readings/kitchen/t")
            assert not rights.may_publish("readings/kitchen/secret")
            assert not rights.may_publish("a/b")
            assert rights.may_subscribe("commands/kitchen/#")
            for wanted in ("commands/oven", "commands/oven/+", "$share/g/commands/oven/#"):
                assert not rights.may_subscribe(wanted), wanted
                assert rights.is_denied(wanted)
            assert rights.may_receive is not None
            assert not rights.may_receive("commands/oven/now")
            assert rights.may_receive("commands/kitchen")
        assert admin.may_subscribe("#"), "it gets what is not denied"
        assert not bound.may_subscribe("#")


def test_a_client_that_would_slip_through_a_denial_is_refused() -> None:
    """A denial that names the client by what can't be a level would deny something else."""
    stand = Stand(Rule(anonymous=True, publish=["x/#"], deny_publish=["x/%c"]))
    assert stand.refused(client_id="a/b") is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert stand.refused(client_id="#") is ReasonCode.CLIENT_IDENTIFIER_NOT_VALID
    assert not stand.enter(client_id="a").may_publish("x/a")
    assert stand.enter(client_id="a").may_publish("x/b")


def test_rules_by_client_id_are_for_that_client_only() -> None:
    """What is remembered for one is not taken for another."""
    stand = Stand(Rule(anonymous=True, publish=["x/%c/#"]), Rule(client_id="b", subscribe=["y"]))
    first, second = stand.enter(client_id="a"), stand.enter(client_id="b")
    assert first.may_publish("x/a/1")
    assert not first.may_publish("x/b/1")
    assert second.may_publish("x/b/1")
    assert not second.may_publish("x/a/1")
    assert [one.may_subscribe("y") for one in (first, second)] == [False, True]


def test_a_bound_token_follows_the_names_of_its_devices() -> None:
    """Topics call a device what it called itself first, whatever the owner calls it now."""
    stand = Stand()
    secret = stand.token(Scope.WRITE, devices=("kitchen",))
    rights = stand.enter(secret)
    assert rights.may_publish("readings/kitchen/t")
    stand.add_device("kitchen", "mqtt:kitchen")
    assert rights.may_publish("readings/kitchen/t")
    device = stand.registry.by_name("kitchen")
    batch = Batch()
    stand.registry.replace(batch, replace(device, name="lounge"))
    # The hub has not bound the token to the new name yet.
    assert not rights.may_publish("readings/kitchen/t")
    stand.tokens.follow(batch, "kitchen", "lounge")
    assert not rights.is_current(NOW)
    renewed = stand.enter(secret)
    assert renewed.may_publish("readings/kitchen/t")
    assert renewed.may_subscribe("commands/kitchen/#")
    assert renewed.may_publish("readings/lounge/t")
    # Another device that came to that name over HTTP.
    stand.add_device("hall", "http:lounge")
    assert not stand.enter(secret, client_id="b").may_write_device("lounge")


def test_rights_end_with_the_token() -> None:
    """When it is revoked, bound otherwise, or expires: not before, and not by other tokens."""
    stand = Stand()
    secret = stand.token(Scope.WRITE, expires=NOW + 10)
    stranger, rights = stand.enter(), stand.enter(secret)
    stand.token(Scope.READ, name="another")
    assert rights.is_current(NOW + 9)
    assert not rights.is_current(NOW + 10)
    stand.tokens.revoke(Batch(), "t")
    assert not rights.is_current(NOW)
    assert stand.refused(secret) is ReasonCode.BAD_USER_NAME_OR_PASSWORD
    stand.tokens.add(Batch(), "t", [Scope.ADMIN], (), NOW + 1, secret.decode())
    assert not rights.is_current(NOW)
    assert stand.enter(secret).is_current(NOW)
    assert stranger.is_current(NOW)


def test_rights_end_with_the_certificate(tmp_path: Path) -> None:
    """`motehub certs revoke` ends them within a quarter of a second, and only theirs."""
    authority = Authority(tmp_path)
    authority.ensure()
    one, other = authority.issue_client("one"), authority.issue_client("other")
    tls = ServerTls(
        authority.server_certificate,
        authority.server_key,
        authority.ca_certificate,
        revoked=tmp_path / "certificates" / "revoked",
    )
    stand = Stand()
    stand.gate = Gatekeeper(stand.tokens, stand.registry, tls)
    first = stand.enter(certificate=(one.fingerprint, "one"))
    second = stand.enter(certificate=(other.fingerprint, "other"))
    assert first.is_current(NOW)
    authority.revoke("one")
    later = NOW + MICROSECONDS // 4
    assert [rights.is_current(later) for rights in (first, second)] == [False, True]
    assert [rights.is_current(later) for rights in (first, second)] == [False, True]
    refused = stand.gate.admit("c", None, None, (one.fingerprint, "one"), "192.0.2.1", later)
    assert refused is ReasonCode.NOT_AUTHORIZED


def test_sessions_belong_to_principals() -> None:
    """A client id is no secret: strangers can't take over what somebody known holds."""
    stand = Stand()
    token = stand.enter(stand.token(Scope.WRITE, name=ANONYMOUS))
    certificate = stand.enter(certificate=("ab" * 32, ANONYMOUS))
    stranger = stand.enter()
    everybody = [token, certificate, stranger]
    assert len({one.principal for one in everybody}) == 3
    assert token.may_take_over(token.principal)
    assert not stranger.may_take_over(token.principal)
    assert not certificate.may_take_over(token.principal)
    assert all(one.may_take_over(stranger.principal) for one in everybody)


def test_strangers_may_write_devices_of_their_own() -> None:
    """Which topics they may use is another question; nobody vouches for what they say."""
    stand = Stand(anonymous=Anonymous.ALL)
    assert stand.enter().may_write_device("kitchen")
    write = stand.enter(stand.token(Scope.WRITE, name="w"))
    read = stand.enter(stand.token(Scope.READ, name="r"))
    bound = stand.enter(stand.token(Scope.WRITE, devices=("kitchen",), name="b"))
    assert write.may_write_device("kitchen")
    assert not read.may_write_device("kitchen")
    assert [bound.may_write_device(name) for name in ("kitchen", "hall")] == [True, False]
    for odd in ("", "a/b", "+", "#"):
        assert not write.may_write_device(odd)


def test_what_is_remembered_is_bounded() -> None:
    """A client that publishes everywhere does not fill the memory."""
    wanted = Wanted()
    wanted.everything = True
    grants = Grants(wanted, Registry(), strangers=False)
    for number in range(3_000):
        assert grants.may_publish(f"topic/{number}")
        assert grants.may_publish(f"{number}" + "long" * 100)
    assert len(grants._known) <= 1_024
    stand = Stand(Rule(anonymous=True, publish=["%c"]))
    for number in range(3_000):
        assert stand.enter(client_id=f"c{number}").may_publish(f"c{number}")
    assert len(stand.gate._granted) <= 1_024


@given(st.binary(max_size=40), st.text(max_size=10), st.text(max_size=10))
def test_anything_may_be_shown(password: bytes, client_id: str, topic: str) -> None:
    """Whatever a client sends, it gets an answer."""
    stand = Stand(Rule(anonymous=True, publish=["%c/#"]))
    rights = stand.gate.admit(client_id, None, password, None, "192.0.2.1", NOW)
    if isinstance(rights, Rights):
        assert not password
        rights.may_publish(topic)
        rights.may_subscribe(topic or "a")
        rights.may_write_device(topic)


LEVELS = ["commands", "a", "b", "other"]
TOPICS = ["/".join(one) for depth in range(1, 5) for one in product(LEVELS, repeat=depth)]
filters = st.builds(
    lambda path, tail: "/".join([*path, *tail]),
    st.lists(st.sampled_from(["commands", "a", "b", "+"]), max_size=2),
    st.sampled_from([["a"], ["+"], ["#"]]),
)


def matches(topic_filter: str, topic: str) -> bool:
    """Compare level by level, as §4.7 describes it."""
    wanted, levels = topic_filter.split("/"), topic.split("/")
    if wanted[-1] == "#":
        wanted.pop()
        levels = levels[: len(wanted)]
    return len(wanted) == len(levels) and all(
        one in ("+", other) for one, other in zip(wanted, levels, strict=True)
    )


@settings(deadline=None)
@given(
    st.lists(filters, max_size=3),
    st.lists(filters, max_size=2),
    st.lists(st.sampled_from("ab"), max_size=2, unique=True),
    filters,
)
def test_a_subscription_is_granted_when_all_is_allowed_and_something_not_denied(
    allow: list[str], deny: list[str], bound: list[str], wanted: str
) -> None:
    """Rules, denials and the devices of a token together; trying every topic says the same."""
    stand = Stand(Rule(user="t", subscribe=allow, deny_subscribe=deny))
    rights = stand.enter(stand.token(Scope.WRITE, devices=(*bound, "third")))

    own = [f"commands/{name}/#" for name in bound]
    found = [topic for topic in TOPICS if matches(wanted, topic)]
    allowed = all(any(matches(one, topic) for one in [*allow, *own]) for topic in found)
    denied = [topic for topic in found if any(matches(one, topic) for one in deny)]
    granted = allowed and not (deny and denied == found)
    assert rights.may_subscribe(wanted) is granted
    assert rights.may_subscribe(f"$share/g/{wanted}") is granted
    if deny:
        assert rights.may_receive is not None
        assert [topic for topic in found if not rights.may_receive(topic)] == denied
    else:
        assert rights.may_receive is None
