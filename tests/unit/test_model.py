"""Names of devices: what people can read, type and tell apart."""

import pytest

from motehub.errors import InvalidName
from motehub.model import check_device_name, given_name


@pytest.mark.parametrize("name", ["greenhouse", "Küche 2", "温室", "a.b-c_d", "x" * 29, "🌱"])
def test_usual_names_are_accepted(name: str) -> None:
    """Letters of every script, digits, inner spaces and symbols may stand in a name."""
    assert check_device_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        *("", " a", "a ", "x" * 30, "a;b", "a/b", "a+", "#"),
        *("a\x00b", "a\x9bb", "a\u202eb", "a\u200bb", "a\u2028b", "a\u2029b"),
        *("a\ue000b", "a\u0378b", "a\udcffb", "\ufeffa"),
    ],
)
def test_other_names_are_refused(name: str) -> None:
    """What can't be seen, or has a meaning elsewhere, can't stand in a name."""
    with pytest.raises(InvalidName):
        check_device_name(name)


def test_the_owners_names_are_composed() -> None:
    """An accent typed as a character of its own gives the same name."""
    assert given_name("Ku\u0308che") == "K\u00fcche"
    assert check_device_name("Ku\u0308che") == "Ku\u0308che"
