"""Trees of topic levels: from a topic to the filters that match it, and the other way round.

The cost of a look-up depends on the number of levels and of results, not on what else is stored.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class _Branch(Generic[V]):
    __slots__ = ("branches", "leaf")

    def __init__(self) -> None:
        # Both are made when they are needed: with thousands of subscriptions most stay away.
        self.branches: dict[str, _Branch[V]] | None = None
        self.leaf: V | None = None

    def at(self, topic: str) -> _Branch[V] | None:
        node: _Branch[V] | None = self
        for level in topic.split("/"):
            if node is None or node.branches is None:
                return None
            node = node.branches.get(level)
        return node

    def grow(self, topic: str) -> _Branch[V]:
        node = self
        for level in topic.split("/"):
            if node.branches is None:
                node.branches = {}
            branch = node.branches.get(level)
            if branch is None:
                branch = node.branches[level] = _Branch()
            node = branch
        return node

    def prune(self, topic: str) -> None:
        """Remove the branch at ``topic``, and those above it, as far as nothing is on them."""
        path: list[tuple[_Branch[V], str]] = []
        node = self
        for level in topic.split("/"):
            path.append((node, level))
            if node.branches is None or level not in node.branches:
                return
            node = node.branches[level]
        for above, level in reversed(path):
            assert above.branches is not None
            branch = above.branches[level]
            if branch.leaf is not None or branch.branches:
                return
            del above.branches[level]


class FilterTree(Generic[K, V]):
    """Values by topic filter and key; ``match`` finds those whose filter matches a topic.

    Filters are well-formed and, if shared, without their share name.
    """

    def __init__(self) -> None:
        self._root: _Branch[dict[K, V]] = _Branch()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def subscribe(self, topic_filter: str, key: K, value: V) -> bool:
        """Store ``value`` under the filter and ``key``; tell whether there was none before."""
        node = self._root.grow(topic_filter)
        if node.leaf is None:
            node.leaf = {}
        new = key not in node.leaf
        node.leaf[key] = value
        self._count += new
        return new

    def unsubscribe(self, topic_filter: str, key: K) -> V | None:
        """Remove the value under the filter and ``key``; return it, or None."""
        node = self._root.at(topic_filter)
        if node is None or node.leaf is None or key not in node.leaf:
            return None
        value = node.leaf.pop(key)
        self._count -= 1
        if not node.leaf:
            node.leaf = None
            self._root.prune(topic_filter)
        return value

    def get(self, topic_filter: str, key: K) -> V | None:
        """Return the value under this very filter and ``key``, or None."""
        node = self._root.at(topic_filter)
        return None if node is None or node.leaf is None else node.leaf.get(key)

    def match(self, topic: str) -> list[V]:
        """Return the values of all filters that match the topic name, in no particular order."""
        found: list[V] = []
        nodes = [self._root]
        # [MQTT-4.7.2-1]: filters that begin with a wildcard don't match $SYS and its like.
        wild = not topic.startswith("$")
        for level in topic.split("/"):
            following = []
            for node in nodes:
                if (branches := node.branches) is None:
                    continue
                if (node_here := branches.get(level)) is not None:
                    following.append(node_here)
                if wild:
                    if (node_here := branches.get("+")) is not None:
                        following.append(node_here)
                    if (node_here := branches.get("#")) is not None and node_here.leaf:
                        found.extend(node_here.leaf.values())
            if not following:
                return found
            nodes = following
            wild = True
        for node in nodes:
            if node.leaf:
                found.extend(node.leaf.values())
            # "sport/#" matches "sport" too (§4.7.1.2).
            if node.branches and (node_here := node.branches.get("#")) and node_here.leaf:
                found.extend(node_here.leaf.values())
        return found


class TopicTree(Generic[V]):
    """One value for each topic name; ``find`` returns those that match a filter."""

    def __init__(self) -> None:
        self._root: _Branch[V] = _Branch()
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def set(self, topic: str, value: V) -> V | None:
        """Store ``value``, which is not None, for ``topic``; return the one that it replaces."""
        node = self._root.grow(topic)
        previous, node.leaf = node.leaf, value
        self._count += previous is None
        return previous

    def remove(self, topic: str) -> V | None:
        """Remove and return the value of ``topic``, or return None."""
        node = self._root.at(topic)
        if node is None or node.leaf is None:
            return None
        previous, node.leaf = node.leaf, None
        self._count -= 1
        self._root.prune(topic)
        return previous

    def get(self, topic: str) -> V | None:
        """Return the value of ``topic``, or None."""
        node = self._root.at(topic)
        return None if node is None else node.leaf

    def find(self, topic_filter: str) -> Iterator[V]:
        """Yield the values of all topics that match the filter; change nothing meanwhile."""
        levels = topic_filter.split("/")
        # What is still to be seen: a branch, and how many levels of the filter led to it.
        waiting: list[tuple[_Branch[V], int]] = [(self._root, 0)]
        while waiting:
            node, depth = waiting.pop()
            if depth == len(levels):
                if node.leaf is not None:
                    yield node.leaf
                continue
            level = levels[depth]
            if level == "#":
                yield from self._below(node, depth)
            elif node.branches is None:
                continue
            elif level == "+":
                waiting += ((one, depth + 1) for one in self._wild(node, depth))
            elif (one := node.branches.get(level)) is not None:
                waiting.append((one, depth + 1))

    def _below(self, node: _Branch[V], depth: int) -> Iterator[V]:
        """Yield the value of ``node`` and of all branches below it."""
        if node.leaf is not None:
            yield node.leaf
        yield from self._all(list(self._wild(node, depth)))

    @staticmethod
    def _all(waiting: list[_Branch[V]]) -> Iterator[V]:
        while waiting:
            node = waiting.pop()
            if node.leaf is not None:
                yield node.leaf
            if node.branches is not None:
                waiting += node.branches.values()

    @staticmethod
    def _wild(node: _Branch[V], depth: int) -> Iterator[_Branch[V]]:
        for level, one in (node.branches or {}).items():
            # [MQTT-4.7.2-1]
            if depth or not level.startswith("$"):
                yield one
