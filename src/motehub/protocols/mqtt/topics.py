"""Topic names and topic filters: what is well-formed, and what a shared one is made of (§4.7)."""

from __future__ import annotations

from typing import Final

LEVELS_LIMIT: Final = 128
"""Most levels that a name or filter may have here; the specification sets no limit."""

_USUAL_LEVELS: Final = 8
# Measured: an object, a dictionary with one entry, a string.
_LEVEL_BYTES: Final = 232

SHARE_PREFIX: Final = "$share/"
"""How the filter of a shared subscription begins."""


def name_fault(name: str) -> str | None:
    """Return what is wrong with the topic name, or None.

    That it is a UTF-8 string without U+0000 and at most 65,535 bytes long is checked where it
    is read [MQTT-4.7.3-2], [MQTT-4.7.3-3]. Nothing is normalised [MQTT-4.7.3-4].
    """
    if not name:
        return "A topic name is empty [MQTT-4.7.3-1]."
    if "+" in name or "#" in name:
        return "A topic name contains a wildcard [MQTT-4.7.0-1]."
    return _depth_fault(name)


def filter_fault(topic_filter: str) -> str | None:
    """Return what is wrong with the topic filter, which may be a shared one, or None."""
    if not topic_filter:
        return "A topic filter is empty [MQTT-4.7.3-1]."
    if topic_filter.startswith(SHARE_PREFIX):
        group, separator, topic_filter = topic_filter[len(SHARE_PREFIX) :].partition("/")
        if not group or "+" in group or "#" in group:
            return "A share name is empty or contains a wildcard [MQTT-4.8.2-1], [MQTT-4.8.2-2]."
        if not separator or not topic_filter:
            return "A shared subscription has no topic filter [MQTT-4.8.2-2]."
    if fault := _depth_fault(topic_filter):
        return fault
    if "#" in topic_filter and (
        topic_filter.index("#") != len(topic_filter) - 1
        or (len(topic_filter) > 1 and topic_filter[-2] != "/")
    ):
        return "# is not alone in the last level of a topic filter [MQTT-4.7.1-1]."
    if "+" in topic_filter and any("+" in p and p != "+" for p in topic_filter.split("/")):
        return "+ is not alone in its level of a topic filter [MQTT-4.7.1-2]."
    return None


def split_share(topic_filter: str) -> tuple[str | None, str]:
    """Return the share name, or None, and the filter that topics are matched with.

    ``topic_filter`` is well-formed. 3.1.1 clients may share too, as with other brokers.
    """
    if not topic_filter.startswith(SHARE_PREFIX):
        return None, topic_filter
    group, _, plain = topic_filter[len(SHARE_PREFIX) :].partition("/")
    return group, plain


def depth_cost(topic: str) -> int:
    """Return about how many bytes a tree needs for the levels of a topic beyond the usual ones.

    For the usual ones nothing is counted: limits are written with them in mind.
    """
    return max(0, topic.count("/") + 1 - _USUAL_LEVELS) * _LEVEL_BYTES


def _depth_fault(topic: str) -> str | None:
    if topic.count("/") >= LEVELS_LIMIT:
        return f"A topic has more than {LEVELS_LIMIT} levels."
    return None
