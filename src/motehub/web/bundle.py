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
# found by trying thousands; sorted by name there are 1.5 kB more.
_ORDER: Final = (
    "sparkline chart comparison timespan bands arranging history wall commands decision "
    "calibration overview device profile keeping quality connect settings_log hub alerts "
    "maintenance forms rule settings_storage reports settings_listeners unsubscribe status "
    "people pulse settings settings_people settings_backup settings_certificates "
    "settings_tokens words health settings_notifications"
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
    """Return the names of all modules, those that are not known by their order at the end."""
    places = {f"{name}.js": place for place, name in enumerate(_ORDER.split())}
    return sorted(modules, key=lambda name: (places.get(name, len(places)), name))


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
