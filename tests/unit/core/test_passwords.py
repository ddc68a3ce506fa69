"""What is kept of passwords, and which may be chosen."""

from __future__ import annotations

import pytest

from motehub.core.passwords import LONGEST, SHORTEST, check_password, hash_password, is_password
from motehub.errors import InvalidPassword

GOOD = "three damp seedlings"


def test_a_password_is_recognised_and_others_are_not() -> None:
    """Only the very same text opens what was kept, which does not contain it."""
    kept = hash_password(GOOD)
    assert is_password(GOOD, kept)
    assert not is_password(GOOD + " ", kept)
    assert not is_password("", kept)
    assert GOOD not in kept


def test_equal_passwords_are_kept_differently() -> None:
    """Each has a salt of its own: whoever reads the file sees no two people with the same."""
    assert hash_password(GOOD) != hash_password(GOOD)


def test_who_has_no_password_can_not_log_in() -> None:
    """A user who is only invited, or does not exist, is refused whatever is given."""
    assert not is_password("", "")
    assert not is_password(GOOD, "")


def test_half_a_character_is_no_fault() -> None:
    """A lone surrogate, which JSON can express, is only a wrong password."""
    assert not is_password("\ud800" * 10, hash_password(GOOD))


@pytest.mark.parametrize(
    "password", ["short", "a" * (LONGEST + 1), "aaaaaaaaaaaa", "marie12", "Marie-123456"[:10]]
)
def test_passwords_that_are_easily_guessed_are_refused(password: str) -> None:
    """What is short, endless, of few characters or hardly more than the name can't be chosen."""
    with pytest.raises(InvalidPassword):
        check_password(password, "marie")


@pytest.mark.parametrize("password", [GOOD, "mariecurie's radium", "x" * 5 + "ytrewq987"])
def test_other_passwords_may_be_chosen(password: str) -> None:
    """No particular characters are asked for."""
    assert len(password) >= SHORTEST
    check_password(password, "marie")
