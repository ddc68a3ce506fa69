"""``motehub certs`` prints what scripts and firmware need, and explains itself beside it."""

import json
import os
import ssl
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from motehub.cli.certs import group
from motehub.errors import CertificateError, InvalidName


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A data folder that does not exist yet."""
    return tmp_path / "data"


def run(data: Path, *arguments: str) -> Result:
    result = CliRunner().invoke(group, [*arguments, "--data", str(data)])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def test_ca_prints_the_pem_alone(data: Path) -> None:
    """Standard output is the certificate, made on first use; the note goes elsewhere."""
    first = run(data, "ca")
    assert first.stdout == (data / "ca.crt").read_text()
    assert "Made" in first.stderr
    second = run(data, "ca")
    assert second.stdout == first.stdout
    assert second.stderr == ""


def test_ca_as_c_string(data: Path) -> None:
    """The firmware constant is called HUB_CA."""
    assert run(data, "ca", "--c-string").stdout.startswith("static const char HUB_CA[] =\n")


@pytest.mark.parametrize("flag", ["--show", "--c-string"])
def test_server_show_is_a_c_string_of_certificate_and_ca(data: Path, flag: str) -> None:
    """The constant holds the server's certificate, then the CA that mbedTLS needs beside it."""
    printed = run(data, "server", flag).stdout
    assert printed.startswith("static const char HUB_CERTIFICATE[] =\n")
    body = printed.partition("=\n")[2].rstrip(";\n")
    pem = "".join(line.strip('"').replace("\\n", "\n") for line in body.splitlines())
    files = (data / "certificates/server.crt", data / "ca.crt")
    assert pem == "".join(file.read_text() for file in files)
    ssl.create_default_context(cadata=pem)


def test_server_summary_and_added_names(data: Path) -> None:
    """What the owner adds is covered, also after a renewal without the options."""
    added = run(data, "server", "--name", "attic.lan", "--address", "2001:db8::7")
    assert "attic.lan" in added.stdout
    assert "2001:db8::7" in run(data, "renew").stdout


@pytest.mark.parametrize("command", [("server", "--renew"), ("renew",)])
def test_renewal_changes_the_certificate(data: Path, command: tuple[str, ...]) -> None:
    """Both spellings renew; without them the certificate stays."""
    run(data, "server")
    before = (data / "certificates/server.crt").read_bytes()
    run(data, "server")
    assert (data / "certificates/server.crt").read_bytes() == before
    run(data, *command)
    assert (data / "certificates/server.crt").read_bytes() != before


def test_client_prints_where_its_files_are(data: Path) -> None:
    """Three files are named, and exist."""
    printed = run(data, "client", "my board").stdout
    files = [Path(line.split(maxsplit=1)[1]) for line in printed.splitlines()]
    assert [file.name for file in files] == ["my board.crt", "my board.key", "ca.crt"]
    assert all(file.is_file() for file in files)


def test_client_is_replaced_only_with_force(data: Path) -> None:
    """The refusal names --force, which then does it."""
    run(data, "client", "porch")
    with pytest.raises(CertificateError, match="--force"):
        run(data, "client", "porch")
    assert run(data, "client", "porch", "--force").exit_code == 0


def test_client_name_is_checked(data: Path) -> None:
    """A name that is a path is no device name."""
    with pytest.raises(InvalidName):
        run(data, "client", "../porch")


def test_list_for_programs(data: Path) -> None:
    """JSON has every certificate with fingerprint, life and file."""
    run(data, "client", "porch")
    listed = json.loads(run(data, "list", "--json").stdout)
    assert [(one["kind"], one["name"]) for one in listed] == [
        ("ca", "ca"),
        ("server", "server"),
        ("client", "porch"),
    ]
    assert listed[2]["file"] == str(data / "certificates/clients/porch.crt")
    assert all(len(one["fingerprint"]) == 64 for one in listed)
    assert "localhost" in listed[1]["san"]


def test_list_for_people(data: Path) -> None:
    """The table names every certificate; without any, one sentence says how to make them."""
    assert "motehub certs server" in run(data, "list").stderr
    run(data, "client", "porch")
    lines = run(data, "list").stdout.splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["ca", "server", "client"]


def test_the_folder_that_it_makes_is_private(data: Path) -> None:
    """Whichever command comes first, only the owner can look into the data folder."""
    before = os.umask(0o022)
    try:
        assert run(data, "list").exit_code == 0
        assert not data.exists()
        run(data, "ca")
    finally:
        os.umask(before)
    assert stat.S_IMODE(data.stat().st_mode) == 0o700


def test_import_stays_light() -> None:
    """The command's module, which every start imports, does not load cryptography."""
    program = "import sys, motehub.cli.certs; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
