"""axe-core, which looks for what keeps people out of a page: labels, roles, contrast, order."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any, Final

from playwright.sync_api import Page

_SCRIPT: Final = Path(__file__).parents[1] / "axe_js/node_modules/axe-core/axe.min.js"


@cache
def _script() -> str:
    assert _SCRIPT.exists(), "axe-core is missing: run make ready-tests"
    return _SCRIPT.read_text("utf-8")


def obstacles(page: Page) -> list[str]:
    """What axe-core objects to on a page as it is now."""
    # Not as a script element, which the policy of the pages refuses.
    page.evaluate(_script() + "\n;undefined")
    found: dict[str, Any] = page.evaluate("axe.run(document)")
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary']}"
        for one in found["violations"]
        for node in one["nodes"]
    ]
