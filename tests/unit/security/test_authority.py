"""The authority makes what is missing, renews what no longer fits, and breaks nothing."""

import datetime as dt
import json
import re
import stat
import subprocess
import sys
from ipaddress import IPv4Address
from pathlib import Path

import pytest

from motehub.errors import CertificateError, InvalidName
from motehub.security.addresses import Host
from motehub.security.authority import Authority

NOW = dt.datetime.now(dt.UTC)


def openssl(*arguments: object) -> str:
    """Run the openssl program; its exit status must be 0."""
    command = ["openssl", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def text_of(certificate: Path) -> str:
    return openssl("x509", "-in", certificate, "-noout", "-text", "-nameopt", "RFC2253")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_makes_a_chain_that_openssl_accepts_for_every_name_and_address(
    authority: Authority,
) -> None:
    """The server certificate verifies strictly for each name and address of the host."""
    done = authority.ensure(["hub.example.org"], ["10.1.2.3"])
    assert done.made == ("ca", "server")
    verify = [
        "verify",
        "-x509_strict",
        "-purpose",
        "sslserver",
        "-CAfile",
        authority.ca_certificate,
    ]
    for name in ("hub", "hub.local", "localhost", "hub.example.org"):
        openssl(*verify, "-verify_hostname", name, authority.server_certificate)
    for ip in ("192.168.7.20", "127.0.0.1", "::1", "2001:db8:7::20", "10.1.2.3"):
        openssl(*verify, "-verify_ip", ip, authority.server_certificate)


def test_server_certificate_says_what_boards_look_for(authority: Authority) -> None:
    """CN is the main IPv4 address, which is among the DNS names too, as old mbedTLS needs."""
    authority.ensure()
    text = text_of(authority.server_certificate)
    assert "Subject: CN=192.168.7.20\n" in text
    assert "DNS:192.168.7.20" in text
    assert "IP Address:192.168.7.20" in text
    assert "IP Address:2001:DB8:7:0:0:0:0:20" in text
    assert "TLS Web Server Authentication" in text
    assert "CA:FALSE" in text
    assert "X509v3 Authority Key Identifier" in text
    assert "NIST CURVE: P-256" in text


def test_ca_may_sign_only_end_entities(authority: Authority) -> None:
    """The CA is marked as one, critically, with no authority below it."""
    authority.ensure()
    text = text_of(authority.ca_certificate)
    assert re.search(r"Basic Constraints: critical\s+CA:TRUE, pathlen:0", text)
    assert re.search(r"Key Usage: critical\s+Certificate Sign, CRL Sign", text)
    assert "X509v3 Subject Key Identifier" in text


def test_lives(authority: Authority) -> None:
    """All begin a day early; the CA and clients last ten years, the server at most 825 days."""
    authority.ensure(now=NOW)
    authority.issue_client("porch", now=NOW)
    ca, server, client = authority.list()
    begin = (NOW - dt.timedelta(days=1)).replace(microsecond=0)
    assert {one.not_before for one in (ca, server, client)} == {begin}
    assert (ca.not_after - NOW).days >= 3650
    assert dt.timedelta(days=700) < server.not_after - server.not_before <= dt.timedelta(days=825)
    assert (client.not_after - NOW).days >= 3650


def test_ensure_again_changes_nothing(authority: Authority) -> None:
    """A second start finds everything in order."""
    authority.ensure()
    before = [one.fingerprint for one in authority.list()]
    assert authority.ensure().made == ()
    assert [one.fingerprint for one in authority.list()] == before


@pytest.mark.parametrize(("days", "made"), [(699, ()), (701, ("server",))])
def test_renews_within_thirty_days_of_the_end(
    authority: Authority, days: int, made: tuple[str, ...]
) -> None:
    """A certificate of 730 days is renewed once it has fewer than 30 left, not before."""
    authority.ensure(now=NOW)
    assert authority.ensure(now=NOW + dt.timedelta(days=days)).made == made


def test_new_address_and_new_name_renew(tmp_path: Path, host: Host, authority: Authority) -> None:
    """The certificate follows the machine's addresses, and names that the caller adds."""
    authority.ensure()
    moved = Host(host.names, (IPv4Address("192.168.9.9"),), IPv4Address("192.168.9.9"))
    done = Authority(tmp_path / "data", moved).ensure()
    assert done.made == ("server",)
    assert "192.168.9.9" in done.reason
    assert "CN=192.168.9.9" in text_of(authority.server_certificate)
    assert Authority(tmp_path / "data", moved).ensure(["attic.lan"]).made == ("server",)


def test_new_main_address_renews(tmp_path: Path, host: Host, authority: Authority) -> None:
    """When another address becomes the main one, the CN follows."""
    other = IPv4Address("10.5.5.5")
    Authority(tmp_path / "data", Host(host.names, (*host.addresses, other), host.main)).ensure()
    done = Authority(tmp_path / "data", Host(host.names, (*host.addresses, other), other)).ensure()
    assert done.made == ("server",)
    assert "CN=10.5.5.5" in text_of(authority.server_certificate)


def test_no_network_keeps_the_certificate(tmp_path: Path, authority: Authority) -> None:
    """A start without any network doesn't throw away the certificate for the network."""
    authority.ensure()
    assert Authority(tmp_path / "data", Host(("hub",), (), None)).ensure().made == ()


def test_no_network_at_first_start(tmp_path: Path) -> None:
    """Without a network the host's name serves as common name."""
    alone = Authority(tmp_path / "data", Host(("hub",), (), None))
    alone.ensure()
    assert "CN=hub\n" in text_of(alone.server_certificate)


def test_remembered_names_survive_renewal(tmp_path: Path, authority: Authority) -> None:
    """What the owner added once is in every later certificate."""
    authority.remember(["bücher.example"], ["2001:db8::42"])
    authority.ensure()
    authority.renew_server()
    san = authority.list()[1].san
    assert {"xn--bcher-kva.example", "2001:db8::42"} <= set(san)


def test_renewal_keeps_the_key(authority: Authority) -> None:
    """A renewal gives another certificate for the same key."""
    authority.ensure()
    key, fingerprint = authority.server_key.read_bytes(), authority.list()[1].fingerprint
    assert authority.renew_server().made == ("server",)
    assert authority.server_key.read_bytes() == key
    assert authority.list()[1].fingerprint != fingerprint


def test_lost_ca_certificate_comes_back_as_the_same_authority(
    tmp_path: Path, authority: Authority
) -> None:
    """With its key, a new ca.crt fits old certificates, and the old ca.crt fits new ones."""
    authority.ensure()
    old = tmp_path / "old.crt"
    authority.ca_certificate.rename(old)
    assert authority.ensure().made == ("ca",)
    authority.renew_server()
    for ca in (old, authority.ca_certificate):
        openssl("verify", "-CAfile", ca, authority.server_certificate)


def test_certificate_of_another_authority_is_replaced(
    tmp_path: Path, host: Host, authority: Authority
) -> None:
    """A server certificate with its key from another hub does not stay."""
    authority.ensure()
    other = Authority(tmp_path / "other", host)
    other.ensure()
    authority.server_certificate.write_bytes(other.server_certificate.read_bytes())
    authority.server_key.write_bytes(other.server_key.read_bytes())
    assert authority.ensure().made == ("server",)
    openssl("verify", "-CAfile", authority.ca_certificate, authority.server_certificate)


def test_lost_server_key_makes_a_new_pair(authority: Authority) -> None:
    """A server certificate without its key is useless, so both are made again."""
    authority.ensure()
    authority.server_key.unlink()
    assert authority.ensure().made == ("server",)
    public = openssl("pkey", "-in", authority.server_key, "-pubout")
    assert openssl("x509", "-in", authority.server_certificate, "-noout", "-pubkey") == public


def test_missing_ca_key_matters_only_for_signing(authority: Authority) -> None:
    """The CA's key may be kept elsewhere; then nothing can be signed, and that is said."""
    authority.ensure()
    authority.ca_key.unlink()
    assert authority.ensure().made == ()
    with pytest.raises(CertificateError, match=r"ca\.key is missing"):
        authority.renew_server()


def test_key_of_another_ca_is_refused(tmp_path: Path, host: Host, authority: Authority) -> None:
    """A CA certificate beside another CA's key signs nothing."""
    authority.ensure()
    other = Authority(tmp_path / "other", host)
    other.ensure()
    authority.ca_key.write_bytes(other.ca_key.read_bytes())
    with pytest.raises(CertificateError, match="is not the key of"):
        authority.issue_client("porch")


@pytest.mark.parametrize("name", ["ca_certificate", "server_certificate", "server_key"])
def test_damaged_file_is_named_and_kept(authority: Authority, name: str) -> None:
    """A broken file is an error that names it, never silently replaced."""
    authority.ensure()
    file: Path = getattr(authority, name)
    file.write_text("-----BEGIN CERTIFICATE-----\nbroken\n")
    with pytest.raises(CertificateError, match=re.escape(str(file))):
        authority.ensure()
    assert "broken" in file.read_text()


def test_ended_ca_is_said(authority: Authority) -> None:
    """After ten years the owner hears what to do."""
    authority.ensure(now=NOW)
    with pytest.raises(CertificateError, match=r"ended on .* delete it"):
        authority.ensure(now=NOW + dt.timedelta(days=3700))


def test_server_certificate_never_outlives_the_ca(authority: Authority) -> None:
    """A certificate signed in the CA's last year ends with the CA."""
    authority.ensure(now=NOW)
    authority.renew_server(now=NOW + dt.timedelta(days=3500))
    ca, server = authority.list()
    assert server.not_after == ca.not_after


def test_clock_before_the_ca_was_made(authority: Authority) -> None:
    """A machine that lost its clock signs certificates that are valid now nevertheless."""
    authority.ensure(now=NOW)
    authority.renew_server(now=dt.datetime(1970, 1, 2, tzinfo=dt.UTC))
    assert authority.list()[1].not_after > NOW + dt.timedelta(days=700)


def test_keys_and_folders_are_private(tmp_path: Path, authority: Authority) -> None:
    """Keys are 0600 in folders of 0700, also where a folder was open before."""
    (tmp_path / "data" / "certificates").mkdir(parents=True, mode=0o755)
    authority.ensure()
    key = authority.issue_client("porch").file.with_suffix(".key")
    assert {mode(one) for one in (authority.ca_key, authority.server_key, key)} == {0o600}
    assert {mode(one) for one in (authority.server_key.parent, key.parent)} == {0o700}
    assert mode(authority.ca_certificate) == 0o644
    assert not list((tmp_path / "data").rglob(".*.crt.*")), "a temporary file was left behind"


def test_client_certificate(authority: Authority) -> None:
    """It is for clients only, bears the device's name and verifies."""
    issued = authority.issue_client("Küche 1")
    verify = ["verify", "-x509_strict", "-CAfile", authority.ca_certificate]
    openssl(*verify, "-purpose", "sslclient", issued.file)
    with pytest.raises(AssertionError, match="purpose"):
        openssl(*verify, "-purpose", "sslserver", issued.file)
    assert issued.name == "Küche 1"
    assert issued.subject == "CN=Küche 1"
    shown = openssl("x509", "-in", issued.file, "-noout", "-fingerprint", "-sha256")
    assert shown.strip().rpartition("=")[2].replace(":", "").lower() == issued.fingerprint


def test_client_certificate_is_not_overwritten(authority: Authority) -> None:
    """A second request is refused unless forced."""
    first = authority.issue_client("porch")
    with pytest.raises(CertificateError, match="--force"):
        authority.issue_client("porch")
    assert authority.issue_client("porch", force=True).fingerprint != first.fingerprint


@pytest.mark.parametrize("name", ["../porch", "a/b", "a\\b", "..", ".hidden", "", "x" * 30])
def test_client_names_stay_in_their_folder(authority: Authority, name: str) -> None:
    """A name that could leave the folder, or that no device may have, is refused."""
    with pytest.raises(InvalidName):
        authority.issue_client(name)


@pytest.mark.parametrize("name", ["two words", "a..b", "-.example", "a/b", ""])
def test_bad_host_names_are_refused(authority: Authority, name: str) -> None:
    """What is no host name is not remembered and not signed."""
    with pytest.raises(CertificateError, match="not a host name"):
        authority.remember([name])


def test_bad_address_is_refused(authority: Authority) -> None:
    """An address must be one."""
    with pytest.raises(CertificateError, match="not an IPv4 or IPv6 address"):
        authority.ensure(addresses=["192.168.1"])


def test_unusable_folder_is_said(tmp_path: Path) -> None:
    """A file where the data folder should be gives one sentence."""
    (tmp_path / "data").write_text("")
    with pytest.raises(CertificateError, match="can't be kept in"):
        Authority(tmp_path / "data").ensure()


def test_c_string_compiles_to_the_pem(tmp_path: Path, authority: Authority) -> None:
    """The constant is the PEM text, line ends included, as a C compiler would read it."""
    authority.ensure()
    pem = authority.ca_certificate.read_text()
    constant = Authority.c_string(pem)
    assert constant.startswith('static const char HUB_CA[] =\n"-----BEGIN CERTIFICATE-----\\n"\n')
    assert constant.endswith(";\n")
    literals = re.findall(r'^"(.*)";?$', constant, re.MULTILINE)
    assert "".join(literals).replace("\\n", "\n") == pem


def test_processes_at_once_agree(tmp_path: Path) -> None:
    """Of six starts at the same moment one makes the files and the others use them."""
    data = tmp_path / "data"
    command = [sys.executable, "-m", "motehub.security", "--data", str(data)]
    started = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(6)]
    made = []
    for process in started:
        output, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        made.append(json.loads(output)["made"])
    assert sorted(made) == [[], [], [], [], [], ["ca", "server"]]
    openssl("verify", "-CAfile", data / "ca.crt", data / "certificates/server.crt")
