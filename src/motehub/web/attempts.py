"""How often somebody may show a wrong password: bounded per address and per account.

A password can be guessed, unlike a token. So an attempt that is one too many is not compared at
all. Strangers can use up the attempts of an account, and its owner then waits with them; but not
where that account is logged in already, from the same address.
"""

from __future__ import annotations

import time
import unicodedata
from collections.abc import Callable
from typing import Final

from motehub.guessing import Attempts, network_of
from motehub.logs import Logger, OccasionalLogger

FREE: Final = 10
"""Wrong passwords at once, for an account and from an address."""

ACCOUNT_SECONDS: Final = 20.0
"""Then one in so many seconds for an account: 4,320 a day, from wherever they come."""

ADDRESS_SECONDS: Final = 5.0
"""And from an address: a household has several people."""

_NAME_CHARACTERS: Final = 64

_logger = OccasionalLogger(Logger("motehub.access"))


class LogInAttempts:
    """Attempts to log in; ``clock`` returns seconds that go on evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._accounts = Attempts(FREE, ACCOUNT_SECONDS, clock)
        self._addresses = Attempts(FREE, ADDRESS_SECONDS, clock)

    def begin(self, name: str, address: str, *, known: bool) -> float:
        """Count an attempt and return 0, or the seconds until there may be one.

        ``known`` says that the account is logged in from this address.
        """
        account, network = _account(name), network_of(address)
        wait = self._addresses.wait(network)
        if not known:
            wait = max(wait, self._accounts.wait(account))
        if wait:
            _logger.warning("many wrong passwords", peer=address, slowed_down=True)
            return wait
        self._addresses.begin(network)
        self._accounts.begin(account)
        return 0.0

    def forgive(self, name: str, address: str) -> None:
        """Take an attempt back: the password was right."""
        self._accounts.forgive(_account(name))
        self._addresses.forgive(network_of(address))


LINKS: Final = 3
"""Links to choose another password that an account may be sent at once."""

LINK_SECONDS: Final = 1_200.0
"""Then one in so many seconds: 72 a day, however many ask."""

FROM_ADDRESS: Final = 5
"""Links that may be asked for at once from an address."""

FROM_ADDRESS_SECONDS: Final = 60.0
"""Then one in so many seconds."""


class LinkRequests:
    """Requests for links by mail; ``clock`` returns seconds that go on evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._names = Attempts(LINKS, LINK_SECONDS, clock)
        self._accounts = Attempts(LINKS, LINK_SECONDS, clock)
        self._addresses = Attempts(FROM_ADDRESS, FROM_ADDRESS_SECONDS, clock)

    def begin(self, name: str, address: str) -> float:
        """Count a request and return 0, or the seconds until there may be one.

        ``name`` is what was written, whether there is such a person or not.
        """
        network, written = network_of(address), _account(name).lower()
        if wait := max(self._addresses.wait(network), self._names.wait(written)):
            _logger.warning("many ask for links", peer=address, slowed_down=True)
            return wait
        self._addresses.begin(network)
        self._names.begin(written)
        return 0.0

    def take(self, user: str) -> bool:
        """Count a link to somebody, and tell whether it may be sent."""
        if self._accounts.wait(user):
            return False
        self._accounts.begin(user)
        return True


TRIALS: Final = 5
"""Tests that may be sent through a channel at once."""

TRIAL_SECONDS: Final = 60.0
"""Then one in so many seconds: whoever gets them has a day of them in no time otherwise."""

TRIALS_OF_ONE: Final = 10
"""Tests that somebody may send at once, through whatever channels."""

TRIAL_SECONDS_OF_ONE: Final = 30.0
"""Then one in so many seconds."""


class Trials:
    """Tests of channels; ``clock`` returns seconds that go on evenly."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._channels = Attempts(TRIALS, TRIAL_SECONDS, clock)
        self._senders = Attempts(TRIALS_OF_ONE, TRIAL_SECONDS_OF_ONE, clock)

    def begin(self, who: str, channel: str) -> float:
        """Count a test and return 0, or the seconds until there may be one."""
        if wait := max(self._channels.wait(channel), self._senders.wait(who)):
            return wait
        self._channels.begin(channel)
        self._senders.begin(who)
        return 0.0

    def forgive(self, who: str, channel: str) -> None:
        """Take a test back: none was sent."""
        self._channels.forgive(channel)
        self._senders.forgive(who)


EMAIL_CHANGES: Final = 5
"""New mail addresses that somebody may choose at once: the one before gets a mail each time."""

EMAIL_CHANGE_SECONDS: Final = 1_200.0
"""Then one in so many seconds."""


def email_changes() -> Attempts:
    """Return how often people have chosen other mail addresses, by their names."""
    return Attempts(EMAIL_CHANGES, EMAIL_CHANGE_SECONDS)


def _account(name: str) -> str:
    return unicodedata.normalize("NFC", name)[:_NAME_CHARACTERS]
