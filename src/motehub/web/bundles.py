"""Scripts of the pages put together: few files to fetch, each compressed with what is like it.

The scripts in ``static/`` are modules that import each other. A bundle holds several of them, as
functions that run once, when another module or the page asks for them: imports become questions
to a list that all bundles share, exports become what the function returns.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from motehub.web.minified import minified

BUNDLES: Final = {
    "shared": ("hub.js", "forms.js", "people.js"),
    "daily": ("overview.js", "device.js", "history.js"),
    "desk": (),
}
"""What is in a bundle: these modules and what they need, unless an earlier one has it.

The last one holds all others.
"""

_NEEDED: Final = re.compile(r'(?:from |import |import\()"\./([\w.]+)"')
_IMPORT: Final = re.compile(r'^import (\{[^}]*\}) from "\./([\w.]+)";', re.MULTILINE)
_LATER: Final = re.compile(r'import\("\./([\w.]+)"\)')
_EXPORT: Final = re.compile(
    r"^export (?:((?:async )?function|class|const) (\w+)|\{ (\w+) \};$)", re.MULTILINE
)
_LIST: Final = """\
export const $all = {};
const begun = {};
export const $need = (name) => (begun[name] ??= $all[name]());
"""
# The tag that loads the last bundle of a page says which module is the page's own.
_START: Final = """\
const { start } = document.querySelector("[data-start]").dataset;
if (start in mine) {
  $need(start);
}
"""


class Bundles:
    """The bundles of some modules, which are texts by the names of their files."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self._modules = modules
        self._members: dict[str, frozenset[str]] = {}
        left = set(modules)
        for name, roots in BUNDLES.items():
            wanted = frozenset(one for root in roots or left for one in self.needs(root))
            self._members[_file(name)] = wanted & left
            left -= wanted

    def files(self) -> dict[str, bytes]:
        """Return what is in each bundle's file."""
        first = next(iter(self._members))
        made: dict[str, bytes] = {}
        for name, members in self._members.items():
            head = _LIST if name == first else f'import {{ $all, $need }} from "./{first}";\n'
            functions = "".join(
                f'"{one}": {_function(self._modules[one])},\n' for one in sorted(members)
            )
            text = f"{head}const mine = {{\n{functions}}};\nObject.assign($all, mine);\n{_START}"
            made[name] = minified(text).encode()
        return made

    def of_page(self, module: str) -> list[str]:
        """Return the files that a page with this module needs, the one that has it last.

        What the module needs is in the same bundle or in an earlier one.
        """
        needed = self.needs(module)
        return [name for name, members in self._members.items() if members & needed]

    def needs(self, module: str) -> frozenset[str]:
        """Return the names of a module and of all modules that it may ask for."""
        found = {module}
        waiting = [module]
        while waiting:
            for name in _NEEDED.findall(self._modules[waiting.pop()]):
                if name not in found:
                    found.add(name)
                    waiting.append(name)
        return frozenset(found)


def _file(bundle: str) -> str:
    return f"{bundle}.bundle.js"


def _function(module: str) -> str:
    """Return a module as a function that runs it and returns what it exports."""
    names: list[str] = []

    def keep(found: re.Match[str]) -> str:
        names.append(found[2] or found[3])
        return f"{found[1]} {found[2]}" if found[1] else ""

    text = _EXPORT.sub(keep, module)
    text = _IMPORT.sub(r'const \1 = await $need("\2");', text)
    text = _LATER.sub(r'$need("\1")', text)
    return f"async () => {{\n{text}return {{ {', '.join(names)} }};\n}}"
