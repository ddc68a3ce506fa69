"""Units on a network that loses every packet for a while, as when a cable is pulled."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.fault.dropped_packets import SCENES
from tests.harness import environment

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("scene", SCENES)
def test_a_link_that_is_half_open(scene: str, tmp_path: Path) -> None:
    """It is found by the unit's silence and its system's, and by commands that do not arrive."""
    isolated = ["unshare", "--map-root-user", "--net"]
    if sys.platform != "linux":
        pytest.skip("namespaces of networks are Linux's")
    assert shutil.which("unshare"), "unshare is missing: install util-linux"
    assert shutil.which("ip"), "ip is missing: run make ready-tests"
    try_ = [*isolated, "ip", "link", "add", "one", "type", "veth", "peer", "name", "two"]
    done = subprocess.run(try_, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        # Some containers forbid it, to root too, and nothing can be installed against that.
        pytest.skip(f"this machine does not let us make a network: {done.stderr.strip()}")
    done = subprocess.run(
        [*isolated, sys.executable, "-m", "tests.fault.dropped_packets", scene, str(tmp_path)],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
