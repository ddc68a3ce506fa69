"""Scripts made smaller: without comments, indentation, and spaces that mean nothing.

Names stay as they are. It reads our own scripts, in their own layout, and relies on some of it,
which the tests compare: statements end with a semicolon, a comment has lines of its own, no
template holds another one, and a division has spaces around it, which a regular expression has not.
"""

from __future__ import annotations

import re
from typing import Final

_LINES: Final = re.compile(r"^[ \t]*(?://.*)?\n|^[ \t]*/\* .* \*/\n|^[ \t]+", re.MULTILINE)
_PATTERN: Final = r"/(?![/*])(?:[^/\\\n\[]|\\.|\[(?:[^\]\\\n]|\\.)*\])+/[a-z]*"
LITERAL: Final = (
    r'"(?:[^"\\\n]|\\.)*"'
    r"|'(?:[^'\\\n]|\\.)*'"
    r"|`(?:[^`\\]|\\.)*`"
    rf"|(?:(?<=[=,:?] )|(?<=return) |(?<=\()){_PATTERN}"
)
"""Texts, templates and regular expressions."""
_SPACES: Final = re.compile(
    rf"({LITERAL})"
    r"|\s*([={}()\[\]<>*%&|!?:;,]+|/) *"
    # a - -b is not a--b.
    r"|(?<![-+]) ([-+]) (?![-+])"
)
# A statement may end with a line that ends with a bracket; it does not with these.
_GOES_ON: Final = re.compile(r"(?<=[;,{(\[:?|&])\n")


def minified(script: str) -> str:
    """Return a script that does the same in fewer bytes."""

    def kept(found: re.Match[str]) -> str:
        return found[1] or found[2] or found[3]

    return _GOES_ON.sub("", _SPACES.sub(kept, _LINES.sub("", script)))
