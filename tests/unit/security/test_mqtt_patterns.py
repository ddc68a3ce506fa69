"""Sets of topics, beside a model that tries every topic there is."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from motehub.security.mqtt_patterns import TopicSet

LEVELS = ["a", "b", "", "$x", "other"]
PATHS = [one for depth in range(1, 6) for one in product(LEVELS, repeat=depth)]
TOPICS = list(filter(None, map("/".join, PATHS)))

# No deeper than 3 levels: what topics of 5 levels don't tell, no topic does.
filters = st.builds(
    lambda path, tail: "/".join([*path, *tail]),
    st.lists(st.sampled_from(["a", "b", "", "$x", "+", "+"]), max_size=2),
    st.sampled_from([["a"], ["+"], ["#"], ["#"]]),
)


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


@settings(max_examples=300, deadline=None)
@given(st.none() | st.lists(filters, max_size=4), st.lists(filters, max_size=2), filters)
def test_a_filter_is_covered_when_all_that_it_matches_is_in_the_set(
    allow: list[str] | None, deny: list[str], wanted: str
) -> None:
    """Trying every topic says the same of a filter and of each topic."""
    topics = TopicSet(allow, deny)

    def is_in(topic: str) -> bool:
        allowed = allow is None or any(matches(one, topic) for one in allow)
        return allowed and not any(matches(one, topic) for one in deny)

    matched = [topic for topic in TOPICS if matches(wanted, topic)]
    assert topics.covers(wanted) is all(is_in(topic) for topic in matched)
    assert topics.denies(wanted) is any(matches(one, topic) for topic in matched for one in deny)
    for topic in matched[:50]:
        assert topics.has(topic) is is_in(topic)


@pytest.mark.parametrize(
    ("allow", "wanted", "expected"),
    [
        (["readings/#"], "readings/#", True),
        (["readings/#"], "readings", True),
        (["readings/#"], "readings/+/temperature", True),
        (["readings/#"], "#", False),
        (["readings/#"], "+/kitchen", False),
        (["+/a", "b/#"], "+/a", True),
        (["+", "+/+/#"], "#", True),
        (["+/+/#"], "#", False),
        (["#"], "$SYS/#", False),
        (["$SYS/#"], "$SYS/broker/uptime", True),
        (["#"], "+/" * 127 + "#", True),
        (["a/+/c"], "a/#", False),
        (["/+/#"], "/#", True),
        ([], "a", False),
        ([], "#", False),
        ([], "/#", False),
        ([], "+/#", False),
    ],
)
def test_what_covers_what(allow: list[str], wanted: str, expected: bool) -> None:
    """Also several filters together, and all below the deepest one."""
    assert TopicSet(allow).covers(wanted) is expected


def test_without_filters_it_is_everything() -> None:
    """Topics of the server are among it, unless they are denied."""
    assert TopicSet(None).covers("$SYS/#")
    assert TopicSet(None).covers("#")
    some = TopicSet(None, ["$SYS/#", "secret/+/key"])
    assert some.covers("$other/#")
    assert some.has("secret/1")
    for wanted in ("#", "+/+/+", "secret/#", "$SYS", "$SYS/+"):
        assert not some.covers(wanted), wanted
    assert some.covers("+/+")
    # Only the empty topic would match both.
    assert TopicSet(None, ["/#"]).covers("+")
