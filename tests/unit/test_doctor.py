"""The doctor's findings about the data folder and the ports."""

import socket
from contextlib import closing
from pathlib import Path

from motehub import data_folder
from motehub.config import load
from motehub.doctor import Finding, Level, examine


def findings(folder: Path, **variables: str) -> dict[str, Finding]:
    """Return what is found, by subject; of several findings of one subject the worst."""
    found: dict[str, Finding] = {}
    for one in examine(load(None, variables, data_dir=folder)):
        if one.subject not in found or one.level is not Level.OK:
            found[one.subject] = one
    return found


def test_a_folder_that_others_can_read_is_a_warning(tmp_path: Path) -> None:
    """It names the command that mends it, and changes nothing itself."""
    folder = tmp_path / "my data"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    finding = findings(folder)["data folder"]
    assert (finding.level, finding.mend) == (Level.WARNING, f"chmod 700 '{folder}'")
    assert data_folder.readable_to_others(folder)
    folder.chmod(0o700)
    assert "data folder" not in findings(folder)


def test_only_a_port_in_use_is_called_so(tmp_path: Path) -> None:
    """A busy port and a foreign address are mended in different ways."""
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        port = str(other.getsockname()[1])
        busy = findings(
            tmp_path,
            MOTEHUB_TRANSPORT_DHT_STREAM_HOST="127.0.0.1",
            MOTEHUB_TRANSPORT_DHT_STREAM_PORT=port,
        )[f"port {port} (dht_stream)"]
    foreign = findings(tmp_path, MOTEHUB_TRANSPORT_DHT_STREAM_HOST="192.0.2.1")
    assert "Stop the program" in busy.mend
    assert "no address of this machine" in foreign["port 8090 (dht_stream)"].message
