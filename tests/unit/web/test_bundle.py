"""The scripts of the pages as they are sent: put together, and made smaller."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Final

import pytest

import motehub.web
from motehub.web.bundle import bundle
from motehub.web.minified import LITERAL, minified

STATIC: Final = Path(motehub.web.__file__).parent / "static"
MODULES: Final = {one.name: one.read_text("utf-8") for one in STATIC.glob("*.js")}
PAGES: Final = re.compile(r'<script type="module" src="/static/([\w.]+)"></script>')
IMPORT: Final = re.compile(r'import \{[^}]*\} from "\./[\w.]+";')


def test_each_module_is_in_the_bundle_once() -> None:
    """Nothing is sent twice, nothing is left out, and each page's own script is there."""
    found = re.findall(r'"([\w.]+)":async\(\)', bundle(MODULES).decode())
    assert sorted(found) == sorted(MODULES)
    for page in STATIC.glob("*.html"):
        (script,) = PAGES.findall(page.read_text("utf-8"))
        assert script in MODULES, page.name


def test_the_bundle_is_javascript(tmp_path: Path) -> None:
    """An engine that is not a browser's reads it as a module."""
    file = tmp_path / "bundle.mjs"
    file.write_bytes(bundle(MODULES))
    done = subprocess.run(["node", "--check", str(file)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_a_bundle_runs_a_module_once_and_only_when_it_is_needed(tmp_path: Path) -> None:
    """Others see what it exports, and what it waits for at first is waited for."""
    modules = {
        "hub.js": 'import { two } from "./forms.js";\nexport { two };\nexport const one = 1;\n',
        "forms.js": "seen.push('forms');\nexport const two = await Promise.resolve(2);\n",
        "people.js": "seen.push('people');\n",
        "overview.js": (
            'import {\n  one, two,\n} from "./hub.js";\n'
            'seen.push(one + two);\nconst { late } = await import("./device.js");\nlate();\n'
        ),
        "device.js": "export async function late() {\n  seen.push('late');\n}\n",
        "history.js": "seen.push('history');\n",
        "other.js": "export class Other {}\n",
    }
    (tmp_path / "bundle.js").write_bytes(bundle(modules))
    (tmp_path / "package.json").write_text('{"type": "module"}')
    (tmp_path / "main.js").write_text(
        "globalThis.seen = [];\n"
        'globalThis.document = { querySelector: () => ({ dataset: { start: "overview.js" } }) };\n'
        'await import("./bundle.js");\n'
        "setTimeout(() => console.log(JSON.stringify(seen)), 0);\n"
    )
    command = ["node", str(tmp_path / "main.js")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == ["forms", 3, "late"]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("// One.\nif (a) {\n  // Two.\n  b('//');\n\n}\n", "if(a){b('//');}\n"),
        ("/* global uPlot */\na = b - -c + ++d;\n", "a=b - -c + ++d;"),
        ('const text = "a : b" + `c ? ${d} : e`;\n', 'const text="a : b"+`c ? ${d} : e`;'),
        ("return /[/ ] = \\/ {2}/g.test(a) / 2;\n", "return /[/ ] = \\/ {2}/g.test(a)/2;"),
        ("split(/ , /, 2 / 3);\n", "split(/ , /,2/3);"),
        ("let a\nlet b = async () => c;\n", "let a\nlet b=async()=>c;"),
        ("return a\n  ? b in c\n  : d;\n", "return a?b in c:d;"),
    ],
)
def test_only_what_means_nothing_is_left_out(given: str, expected: str) -> None:
    """Comments and spaces go; texts, templates and regular expressions stay as they are."""
    assert minified(given) == expected


def test_literals_stay_as_they_are() -> None:
    """Each text, template and regular expression of our scripts is found and kept, in order."""
    for text in MODULES.values():
        code = "\n".join(
            line for line in text.splitlines() if not line.lstrip().startswith(("//", "/* "))
        )
        small = minified(text)
        at = 0
        for literal in re.findall(LITERAL, code):
            at = small.index(literal, at) + len(literal)


def test_scripts_have_the_layout_that_is_relied_on() -> None:
    """No template holds another or goes over lines; comments have lines of their own."""
    for name, text in MODULES.items():
        for line in text.splitlines():
            if line.lstrip().startswith(("//", "/* ")):
                continue
            bare = re.sub(LITERAL, '""', line)
            assert "`" not in bare, f"{name}: {line}"
            assert "//" not in bare, f"{name}: {line}"
            assert "/*" not in bare, f"{name}: {line}"
            for template in re.findall(r"`(?:[^`\\]|\\.)*`", line):
                assert template.count("{") == template.count("}"), f"{name}: {line}"
        assert text.count("import ") == len(IMPORT.findall(text)), name
