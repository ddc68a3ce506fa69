"""Sets of MQTT topics, given by topic filters: is a topic in one, is all that a filter matches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from motehub.protocols.mqtt.trees import FilterTree

# A level that no filter names: U+0000 is in no topic [MQTT-4.7.3-2].
_ANY_OTHER: Final = "\0"


class TopicSet:
    """The topics that match a filter of ``allow`` and none of ``deny``.

    Without ``allow`` it is all topics, those that begin with ``$`` too, but what is denied.
    Filters are well-formed and not shared ones.
    """

    __slots__ = ("_allow", "_deepest", "_denied", "_deny")

    def __init__(self, allow: Sequence[str] | None, deny: Sequence[str] = ()) -> None:
        self._allow = None if allow is None else _tree(allow)
        self._deepest = max([one.count("/") + 1 for one in allow or ()], default=0)
        self._deny = _tree(deny) if deny else None
        self._denied = tuple(one.split("/") for one in deny)

    def has(self, topic: str) -> bool:
        """Tell whether the topic name is in the set."""
        if self._allow is not None and not self._allow.match(topic):
            return False
        return self._deny is None or not self._deny.match(topic)

    def denies(self, topic_filter: str) -> bool:
        """Tell whether one of the topics that the filter matches is among those denied."""
        levels = topic_filter.split("/")
        return any(_overlap(levels, denied) for denied in self._denied)

    def covers(self, topic_filter: str) -> bool:
        """Tell whether every topic that the filter matches is in the set."""
        return not self.denies(topic_filter) and self.allows(topic_filter)

    def allows(self, topic_filter: str) -> bool:
        """Tell whether every topic that the filter matches would be in the set but for denials.

        Where the filter has a wildcard, a level that no other filter names stands for all: what
        matches that matches any. For ``#``, further levels beyond the deepest filter change
        nothing any more.
        """
        if self._allow is None:
            return True
        levels = [_ANY_OTHER if level == "+" else level for level in topic_filter.split("/")]
        if levels[-1] != "#":
            return bool(self._allow.match("/".join(levels)))
        levels.pop()
        for _ in range(max(2, self._deepest - len(levels) + 2)):
            topic = "/".join(levels)
            # [MQTT-4.7.3-1]: what "#" and "/#" begin with is no topic.
            if topic and not self._allow.match(topic):
                return False
            levels.append(_ANY_OTHER)
        return True


def _tree(filters: Iterable[str]) -> FilterTree[None, bool]:
    tree: FilterTree[None, bool] = FilterTree()
    for one in filters:
        tree.subscribe(one, None, True)
    return tree


def _overlap(one: Sequence[str], other: Sequence[str]) -> bool:
    """Tell whether a topic matches both filters, given as levels."""
    first = {one[0], other[0]}
    if first & {"+", "#"} and any(level.startswith("$") for level in first):
        # [MQTT-4.7.2-1]
        return False
    for mine, others in zip(one, other, strict=False):
        if mine == "#" or others == "#":
            return True
        if mine != others and "+" not in (mine, others):
            return False
    # "sport/#" matches "sport" too (§4.7.1.2), and "/#" would match the empty topic.
    shorter, longer = sorted((one, other), key=len)
    rest = list(longer[len(shorter) :])
    return not rest or (rest == ["#"] and longer[:-1] != [""])
