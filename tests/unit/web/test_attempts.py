"""How often a wrong password may be shown."""

from __future__ import annotations

from motehub.guessing import Attempts
from motehub.web.attempts import (
    ACCOUNT_SECONDS,
    ADDRESS_SECONDS,
    FREE,
    TRIAL_SECONDS,
    TRIAL_SECONDS_OF_ONE,
    TRIALS,
    TRIALS_OF_ONE,
    LogInAttempts,
    Trials,
)


class Clock:
    """Seconds, moved by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_attempts_come_back_one_by_one() -> None:
    """So many are free; then there is one whenever its time has passed."""
    clock = Clock()
    attempts = Attempts(3, 8.0, clock)
    for _ in range(3):
        assert attempts.wait("a") == 0
        attempts.begin("a")
    assert attempts.wait("a") == 8
    assert attempts.wait("b") == 0
    clock.now += 4
    assert attempts.wait("a") == 4
    clock.now += 4
    assert attempts.wait("a") == 0
    attempts.begin("a")
    assert attempts.wait("a") == 8
    attempts.forgive("a")
    assert attempts.wait("a") == 0


def test_one_address_is_bounded_whatever_names_it_tries() -> None:
    """Another name does not help, another address does."""
    clock = Clock()
    attempts = LogInAttempts(clock)
    for number in range(FREE):
        assert attempts.begin(f"name{number}", "192.0.2.1", known=False) == 0
    assert attempts.begin("another", "192.0.2.1", known=False) == ADDRESS_SECONDS
    assert attempts.begin("another", "192.0.2.2", known=False) == 0


def test_one_account_is_bounded_wherever_they_come_from() -> None:
    """A stranger's guesses hold up other strangers, and nobody where the account is known."""
    attempts = LogInAttempts(Clock())
    for number in range(FREE):
        assert attempts.begin("marie", f"192.0.2.{number}", known=False) == 0
    assert attempts.begin("marie", "198.51.100.1", known=False) == ACCOUNT_SECONDS
    assert attempts.begin("pierre", "198.51.100.1", known=False) == 0
    assert attempts.begin("marie", "198.51.100.2", known=True) == 0


def test_an_owner_of_ipv6_has_one_address() -> None:
    """All addresses of a network count together."""
    attempts = LogInAttempts(Clock())
    for number in range(FREE):
        assert attempts.begin(f"name{number}", f"2001:db8::{number:x}", known=False) == 0
    assert attempts.begin("x", "2001:db8::ffff", known=False) > 0


def test_good_passwords_cost_nothing() -> None:
    """Who logs in again and again with the right one is not held up."""
    attempts = LogInAttempts(Clock())
    for _ in range(5 * FREE):
        assert attempts.begin("marie", "192.0.2.1", known=False) == 0
        attempts.forgive("marie", "192.0.2.1")


def test_a_channel_gets_no_flood_of_tests() -> None:
    """Whoever sends them; other channels are open to others all the while."""
    clock = Clock()
    trials = Trials(clock)
    for number in range(TRIALS):
        assert trials.begin(f"person {number}", "mail") == 0
    assert trials.begin("another", "mail") == TRIAL_SECONDS
    assert trials.begin("another", "phone") == 0
    clock.now += TRIAL_SECONDS
    assert trials.begin("another", "mail") == 0
    assert trials.begin("another", "mail") == TRIAL_SECONDS


def test_nobody_sends_tests_without_end() -> None:
    """Through however many channels; one that was none is given back."""
    trials = Trials(Clock())
    for number in range(TRIALS_OF_ONE):
        assert trials.begin("marie", f"channel {number}") == 0
    assert trials.begin("marie", "yet another") == TRIAL_SECONDS_OF_ONE
    assert trials.begin("pierre", "yet another") == 0
    trials.forgive("marie", "channel 0")
    assert trials.begin("marie", "yet another") == 0
