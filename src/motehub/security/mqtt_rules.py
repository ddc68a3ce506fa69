"""Access rules of the MQTT broker, as the owner writes them: to whom they apply, and what to."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterator, Sequence
from itertools import product
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.protocols.mqtt.topics import SHARE_PREFIX, filter_fault

MOST_FILTERS: Final = 100
"""Topic filters in one list of a rule."""

_PLACEHOLDER: Final = re.compile("(%[cud])")
# Values of clients must not become levels or wildcards of their own.
_SPECIAL: Final = frozenset("/+#\0")


class Anonymous(enum.Enum):
    """What clients may do that show neither a token nor a certificate."""

    BY_ADMISSION = ""
    """Everything where unknown devices are accepted at once, else the session topics."""
    SESSIONS = "sessions"
    """What the protocol of device sessions needs."""
    ALL = "all"
    """Everything but writing to ``$SYS``."""
    NONE = "none"
    """They are refused."""


class Who(msgspec.Struct, frozen=True):
    """A client as rules see it: the names that its token and its certificate give it.

    ``devices`` are those that it is; the client id is what it says itself.
    """

    client_id: str
    users: tuple[str, ...]
    devices: tuple[str, ...]

    @property
    def is_anonymous(self) -> bool:
        """Whether it has shown neither."""
        return not self.users

    def values(self, placeholder: str) -> tuple[str, ...]:
        """Return what ``%c``, ``%u`` or ``%d`` stands for."""
        return {"%c": (self.client_id,), "%u": self.users, "%d": self.devices}[placeholder]


class Rule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A section ``[[transport.mqtt_broker.rule]]``.

    It applies where all of ``user``, ``client_id``, ``device`` and ``anonymous`` that are given
    fit. A name that ends with ``*`` fits all that begin so.
    """

    user: Annotated[
        str, Meta(description='Name of a token or certificate; "sensor-*" = all that begin so.')
    ] = ""
    client_id: Annotated[
        str, Meta(description="What the client calls itself; anybody can, so say who besides.")
    ] = ""
    device: Annotated[
        str, Meta(description="Device that the client's token is bound to, or certificate names.")
    ] = ""
    anonymous: Annotated[
        bool, Meta(description="Whether it is for clients without token and certificate.")
    ] = False
    publish: Annotated[
        list[str],
        Meta(
            description="Topic filters that may be published to; %u, %c and %d stand for the "
            "user, the client id and each of the devices.",
            max_length=MOST_FILTERS,
        ),
    ] = []
    subscribe: Annotated[
        list[str], Meta(description="Filters that may be subscribed to.", max_length=MOST_FILTERS)
    ] = []
    deny_publish: Annotated[
        list[str],
        Meta(description="What may not, whatever else allows it.", max_length=MOST_FILTERS),
    ] = []
    deny_subscribe: Annotated[
        list[str],
        Meta(description="What may not, whatever else allows it.", max_length=MOST_FILTERS),
    ] = []

    def __post_init__(self) -> None:
        """Check the rule.

        Raises:
            ValueError: it says nobody, or a filter can't be; msgspec adds where it stands.
        """
        if not (self.user or self.client_id or self.device or self.anonymous):
            raise ValueError(
                'a rule must say for whom: user = "NAME" ("*" for all who have a token or a '
                "certificate), device, client_id, or anonymous = true"
            )
        if self.anonymous and (self.user or self.device):
            raise ValueError("clients that are anonymous have no user and no device")
        for name in (self.user, self.client_id, self.device):
            if "*" in name[:-1]:
                raise ValueError(f"{name!r}: * can only be at the end of a name")
        for one in [*self.publish, *self.subscribe, *self.deny_publish, *self.deny_subscribe]:
            _check(one)
        for one in self.publish:
            if one.split("/")[0] == "$SYS":
                raise ValueError(f"{one!r}: only the hub publishes there")

    @property
    def is_by_client_id(self) -> bool:
        """Whether the client id matters for it."""
        lists = (self.publish, self.subscribe, self.deny_publish, self.deny_subscribe)
        return bool(self.client_id) or any("%c" in one for some in lists for one in some)

    def applies_to(self, who: Who) -> bool:
        """Tell whether the rule is for this client."""
        if self.anonymous and not who.is_anonymous:
            return False
        return all(
            not pattern or any(_fits(pattern, name) for name in names)
            for pattern, names in (
                (self.user, who.users),
                (self.client_id, (who.client_id,)),
                (self.device, who.devices),
            )
        )


def expand(filters: Sequence[str], who: Who) -> Iterator[str]:
    """Yield the filters for this client.

    Those are left out in which something would stand that is empty, or changes what the filter
    means: a client that calls itself ``#`` must not gain by it.
    """
    for one in filters:
        # The placeholders are at the odd places.
        parts = _PLACEHOLDER.split(one)
        used = sorted(set(parts[1::2]))
        for values in product(*map(who.values, used)):
            if all(map(is_plain, values)):
                table = dict(zip(used, values, strict=True))
                parts[1::2] = [table[place] for place in _PLACEHOLDER.findall(one)]
                yield "".join(parts)


def unclear(filters: Sequence[str], who: Who) -> str | None:
    """Return the first placeholder for which ``expand`` leaves one of ``filters`` out, or None."""
    for one in filters:
        for placeholder in _PLACEHOLDER.findall(one):
            if not all(map(is_plain, who.values(placeholder))):
                return str(placeholder)
    return None


def is_plain(value: str) -> bool:
    """Tell whether the value, put into a topic filter, is text and nothing more."""
    return bool(value) and not value.startswith("$") and not _SPECIAL.intersection(value)


def _fits(pattern: str, name: str) -> bool:
    if pattern.endswith("*"):
        return name.startswith(pattern[:-1])
    return name == pattern


def _check(topic_filter: str) -> None:
    plain = _PLACEHOLDER.sub("x", topic_filter)
    if fault := filter_fault(plain):
        raise ValueError(f"{topic_filter!r}: {fault.rstrip('.')}")
    if topic_filter.startswith(SHARE_PREFIX):
        raise ValueError(f"{topic_filter!r}: write it without {SHARE_PREFIX}GROUP/")
    if "\0" in topic_filter:
        raise ValueError("a topic filter can't contain U+0000")
