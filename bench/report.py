"""Results as Markdown tables for people and the docs, and as JSON for programs."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import apsw

from bench.harness import Result, Spread
from motehub import __version__


def machine() -> dict[str, str]:
    """Return what the figures depend on: processor, cores, kernel, versions."""
    models = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": str(os.cpu_count()),
        "kernel": platform.release(),
        "Python": platform.python_version(),
        "SQLite": apsw.sqlite_lib_version(),
        "OpenSSL": ssl.OPENSSL_VERSION.split()[1],
        "motehub": __version__,
    }


def markdown(result: Result) -> str:
    """Return a table: figures down, sides across, medians with (least-most), ratio of medians."""
    sides = list(result.samples)
    compared = len(sides) > 1
    header = [result.case, *sides, *([f"{sides[0]} ÷ {sides[1]}"] if compared else [])]
    lines = [_line(header), _line(["---", *["---:"] * (len(header) - 1)])]
    for figure, by_side in result.figures().items():
        cells = [figure, *(_spread(by_side.get(side)) for side in sides)]
        if compared:
            ratio = result.ratio(figure)
            cells.append("" if ratio is None else f"{ratio:.3g}")
        lines.append(_line(cells))
    return "\n".join(lines) + "\n"


def to_json(results: Sequence[Result]) -> str:
    """Return machine, medians, spreads and every sample."""
    document: dict[str, Any] = {"machine": machine(), "cases": []}
    for result in results:
        figures = {
            figure: {
                "ratio": result.ratio(figure),
                "sides": {side: dataclasses.asdict(spread) for side, spread in sides.items()},
            }
            for figure, sides in result.figures().items()
        }
        samples = {side: list(map(dict, rows)) for side, rows in result.samples.items()}
        document["cases"].append({"case": result.case, "figures": figures, "samples": samples})
    return json.dumps(document, indent=2) + "\n"


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cells) + " |"


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return ""
    if spread.least == spread.most:
        return _number(spread.median)
    return f"{_number(spread.median)} ({_number(spread.least)} to {_number(spread.most)})"


def _number(value: float) -> str:
    """Round to three figures: more would be noise."""
    if value == 0:
        return "0"
    rounded = float(f"{value:.3g}")
    return f"{rounded:,.0f}" if abs(rounded) >= 100 else f"{rounded:g}"
