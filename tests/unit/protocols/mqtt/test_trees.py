"""Topic filters: what is well-formed, and what matches, beside a matcher of the simplest kind."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub.protocols.mqtt.topics import LEVELS_LIMIT, filter_fault, name_fault, split_share
from motehub.protocols.mqtt.trees import FilterTree, TopicTree

levels = st.sampled_from(["a", "b", "c", "", "$SYS", "$x"])
topics = st.lists(levels, min_size=1, max_size=5).map("/".join).filter(bool)
filters = st.builds(
    lambda path, tail: "/".join([*path, *tail]),
    st.lists(st.one_of(levels, st.just("+")), max_size=5),
    st.sampled_from([[], ["#"]]),
).filter(bool)


def matches(topic_filter: str, topic: str) -> bool:
    """Compare level by level, as §4.7 describes it."""
    wanted, given_ = topic_filter.split("/"), topic.split("/")
    if topic.startswith("$") and wanted[0] in ("+", "#"):
        return False
    if wanted[-1] == "#":
        wanted.pop()
        given_ = given_[: len(wanted)]
    return len(wanted) == len(given_) and all(
        one in ("+", other) for one, other in zip(wanted, given_, strict=True)
    )


# From the examples of §4.7.1 and §4.7.2.
@pytest.mark.parametrize(
    ("topic_filter", "topic", "expected"),
    [
        ("sport/tennis/player1/#", "sport/tennis/player1", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/ranking", True),
        ("sport/tennis/player1/#", "sport/tennis/player1/score/wimbledon", True),
        ("sport/#", "sport", True),
        ("#", "sport/tennis", True),
        ("#", "/", True),
        ("sport/tennis/+", "sport/tennis/player1", True),
        ("sport/tennis/+", "sport/tennis/player1/ranking", False),
        ("sport/+", "sport", False),
        ("sport/+", "sport/", True),
        ("+/+", "/finance", True),
        ("/+", "/finance", True),
        ("+", "/finance", False),
        ("#", "$SYS/uptime", False),
        ("+/monitor/Clients", "$SYS/monitor/Clients", False),
        ("$SYS/#", "$SYS/", True),
        ("$SYS/monitor/+", "$SYS/monitor/Clients", True),
        ("ACCOUNTS", "Accounts", False),
        ("a/#", "a//b", True),
        ("a/+/b", "a//b", True),
    ],
)
def test_the_examples_of_the_specification(topic_filter: str, topic: str, expected: bool) -> None:
    """Both trees and the simple matcher agree with the specification's examples."""
    subscribed: FilterTree[int, str] = FilterTree()
    subscribed.subscribe(topic_filter, 1, "x")
    stored: TopicTree[str] = TopicTree()
    stored.set(topic, "x")
    assert bool(subscribed.match(topic)) is expected
    assert bool(list(stored.find(topic_filter))) is expected
    assert matches(topic_filter, topic) is expected


@given(st.lists(st.tuples(filters, st.integers(0, 2), st.booleans())), st.lists(topics))
def test_subscriptions_are_found_as_by_comparing_them_all(
    steps: list[tuple[str, int, bool]], published: list[str]
) -> None:
    """After any subscribing and unsubscribing, a topic finds exactly the filters it matches."""
    tree: FilterTree[int, tuple[str, int]] = FilterTree()
    known: dict[tuple[str, int], tuple[str, int]] = {}
    for topic_filter, key, add in steps:
        entry = (topic_filter, key)
        if add:
            assert tree.subscribe(topic_filter, key, entry) is (entry not in known)
            known[entry] = entry
        else:
            assert tree.unsubscribe(topic_filter, key) == known.pop(entry, None)
        assert tree.get(topic_filter, key) == known.get(entry)
    assert len(tree) == len(known)
    for topic in published:
        expected = sorted(entry for entry in known if matches(entry[0], topic))
        assert sorted(tree.match(topic)) == expected
    for topic_filter, key in known:
        tree.unsubscribe(topic_filter, key)
    assert not tree._root.branches, "something stays behind when all have left"


@given(st.lists(st.tuples(topics, st.booleans())), st.lists(filters))
def test_topics_are_found_as_by_comparing_them_all(
    steps: list[tuple[str, bool]], asked: list[str]
) -> None:
    """After any storing and removing, a filter finds exactly the topics that match it."""
    tree: TopicTree[str] = TopicTree()
    known: set[str] = set()
    for topic, add in steps:
        before = topic if topic in known else None
        if add:
            assert tree.set(topic, topic) == before
            known.add(topic)
        else:
            assert tree.remove(topic) == before
            known.discard(topic)
        assert tree.get(topic) == (topic if topic in known else None)
    assert len(tree) == len(known)
    for topic_filter in asked:
        expected = sorted(topic for topic in known if matches(topic_filter, topic))
        assert sorted(tree.find(topic_filter)) == expected
    for topic in known:
        tree.remove(topic)
    assert not tree._root.branches, "something stays behind when all are removed"


def test_the_deepest_topic_is_found() -> None:
    """A topic of as many levels as are allowed needs no deep recursion."""
    topic = "/" * (LEVELS_LIMIT - 1)
    assert name_fault(topic) is None
    tree: FilterTree[int, str] = FilterTree()
    tree.subscribe("/".join("+" * LEVELS_LIMIT), 1, "x")
    assert tree.match(topic) == ["x"]
    assert name_fault(topic + "/")
    assert filter_fault(topic + "/")


@pytest.mark.parametrize("name", ["a", "/", "a//b", "a b", "$SYS/x", "é", "a\x01"])
def test_topic_names(name: str) -> None:
    """A topic name may have empty levels, spaces and control characters."""
    assert name_fault(name) is None
    assert filter_fault(name) is None


@pytest.mark.parametrize("name", ["", "#", "+", "a/+", "a#"])
def test_topic_names_without_wildcards(name: str) -> None:
    """A topic name is not empty and has no wildcard."""
    assert name_fault(name)


@pytest.mark.parametrize(
    "topic_filter", ["#", "+", "a/#", "+/a/+", "+/#", "/#", "$share/g/#", "$share/g//", "$share"]
)
def test_topic_filters(topic_filter: str) -> None:
    """A wildcard stands for whole levels, # at the end."""
    assert filter_fault(topic_filter) is None


@pytest.mark.parametrize(
    "topic_filter",
    [
        *("", "a#", "#/a", "##", "a/#/b", "a+", "+a", "a/b+/c", "++"),
        *("$share/", "$share/g", "$share/g/", "$share//a", "$share/+/a", "$share/g#/a"),
        "$share/g/a#",
    ],
)
def test_topic_filters_that_are_not_well_formed(topic_filter: str) -> None:
    """A wildcard beside other characters, and a share without name or filter, are refused."""
    assert filter_fault(topic_filter)


def test_shares() -> None:
    """A shared filter has a name, and the filter that topics are compared with."""
    assert split_share("$share/g/a/#") == ("g", "a/#")
    assert split_share("$share/g//a") == ("g", "/a")
    assert split_share("a/$share/b") == (None, "a/$share/b")
