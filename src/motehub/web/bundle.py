"""The scripts of the pages put together: one file to fetch, compressed as a whole.

The scripts in ``static/`` are modules that import each other. The bundle holds them as functions
that run once, when another module or the page asks for them: imports become questions to a list,
exports become what the function returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from motehub.web.minified import minified

FILE: Final = "scripts.js"
"""The bundle's name among the files."""

# What is alike stands together: gzip looks back over 32 KiB, a quarter of it all. This order was
# found by trying thousands; without it there are 0.9 kB more.
_FIRST: Final = (
    "decision.js",
    "profile.js",
    "history.js",
    "calibration.js",
    "sparkline.js",
    "bands.js",
    "overview.js",
    "device.js",
    "wall.js",
    "connect.js",
    "settings_log.js",
    "settings_listeners.js",
    "status.js",
    "alerts.js",
    "reports.js",
)

_IMPORT: Final = re.compile(r'^import (\{[^}]*\}) from "\./([\w.]+)";', re.MULTILINE)
_LATER: Final = re.compile(r'import\("\./([\w.]+)"\)')
_EXPORT: Final = re.compile(
    r"^export (?:((?:async )?function|class|const) (\w+)|\{ (\w+) \};$)", re.MULTILINE
)
# The page says in the tag which module is its own.
_TEXT: Final = """\
const $begun = {};
const $need = (name) => ($begun[name] ??= $all[name]());
const $all = {
FUNCTIONS};
$need(document.querySelector("[data-start]").dataset.start);
"""


def bundle(modules: Mapping[str, str]) -> bytes:
    """Return one script of ``modules``, which are texts by the names of their files."""
    functions = (f'"{one}": {_function(modules[one])},\n' for one in _order(modules))
    return minified(_TEXT.replace("FUNCTIONS", "".join(functions))).encode()


def _order(modules: Mapping[str, str]) -> list[str]:
    """Return the names of all modules, each behind those that it needs at first."""
    found: list[str] = []

    def add(name: str) -> None:
        if name not in found:
            for _, needed in _IMPORT.findall(modules[name]):
                add(needed)
            found.append(name)

    for name in (*(one for one in _FIRST if one in modules), *sorted(modules)):
        add(name)
    return found


def _function(module: str) -> str:
    """Return a module as a function that runs it and returns what it exports."""
    names: list[str] = []

    def keep(found: re.Match[str]) -> str:
        names.append(found[2] or found[3])
        return f"{found[1]} {found[2]}" if found[1] else ""

    text = _EXPORT.sub(keep, module)
    text = _IMPORT.sub(r'const \1 = await $need("\2");', text)
    text = _LATER.sub(r'$need("\1")', text)
    ending = f"return {{ {', '.join(names)} }};\n" if names else ""
    return f"async () => {{\n{text}{ending}}}"
