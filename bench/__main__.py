"""``python -m bench [SCENARIO…]``: measure, print tables, write JSON."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from bench import profiling
from bench.harness import Result, Settings, run
from bench.processes import ProcessFailed
from bench.report import machine, markdown, to_json
from bench.scenarios import SCENARIOS
from bench.servers import make_certificates


def main() -> int:
    """Carry out the command line; return the exit status."""
    options = _options()
    if not Path("/proc/self/smaps_rollup").exists():
        return _fail("The bench reads CPU time and memory from Linux's /proc, which is not here.")
    if unknown := set(options.scenario) - set(SCENARIOS):
        return _fail(f"There is no scenario {min(unknown)!r}. Known: {', '.join(SCENARIOS)}.")
    if options.rounds < 1:
        return _fail("--rounds must be 1 or more.")
    with tempfile.TemporaryDirectory(prefix="motehub-bench-", dir=options.folder) as name:
        folder = Path(name)
        certificates = folder / "certificates"
        settings = Settings(options.rounds, options.quick, folder, certificates)
        try:
            make_certificates(certificates)
            if options.profile:
                print(_profile(options.scenario)(settings))
            else:
                _measure(options.scenario or list(SCENARIOS), settings, options.output)
        except ProcessFailed as error:
            return _fail(str(error))
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    names = ", ".join(SCENARIOS)
    parser.add_argument("scenario", nargs="*", help=f"{names} (default: all)")
    parser.add_argument("--rounds", type=int, default=5, help="runs of each side (default: 5)")
    parser.add_argument("--quick", action="store_true", help="short runs: a look, not a result")
    parser.add_argument("--output", type=Path, metavar="FILE.json", help="write all samples too")
    parser.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="disk for the servers' files (default: the system's folder for temporary files)",
    )
    parser.add_argument(
        "--profile",
        action="store_true",
        help="run burst (or json, or mqtt) once under a profiler instead",
    )
    return parser.parse_args()


def _profile(scenarios: list[str]) -> Callable[[Settings], str]:
    if "json" in scenarios:
        return profiling.profile_json
    return profiling.profile_mqtt if "mqtt" in scenarios else profiling.profile_burst


def _measure(names: list[str], settings: Settings, output: Path | None) -> None:
    print(", ".join(f"{what} {value}" for what, value in machine().items()))
    results: list[Result] = []
    for name in names:
        for case in SCENARIOS[name](settings):
            results.append(run(case, settings, _tell))
            print(f"\n{markdown(results[-1])}", flush=True)
            if output is not None:
                output.write_text(to_json(results))


def _tell(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _fail(text: str) -> int:
    _tell(text)
    return 1


if __name__ == "__main__":
    sys.exit(main())
