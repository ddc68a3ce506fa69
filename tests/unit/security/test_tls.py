"""Listeners speak sane TLS, know their clients, and follow the files without a restart."""

import contextlib
import hashlib
import queue
import socket
import ssl
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.harness import PATIENCE

from motehub.errors import CertificateError
from motehub.security.addresses import Host
from motehub.security.authority import Authority, Issued
from motehub.security.tls import ServerTls, ensure_certificates, peer_identity

BATCH = b"[1746119310],57,24.1,75.38|"
Heard = tuple[bytes, tuple[str, str] | None]


class Listener:
    """A TCP server that asks ``tls`` for a context for each connection and reads to the end."""

    def __init__(self, tls: ServerTls, pause: float = 0.0) -> None:
        self._tls = tls
        self._pause = pause
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.heard: queue.Queue[Heard | OSError] = queue.Queue()
        self._thread = threading.Thread(target=self._serve)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            connection, _ = self._socket.accept()
            with connection:
                connection.settimeout(PATIENCE)
                try:
                    session = self._tls.context().wrap_socket(connection, server_side=True)
                except OSError as error:
                    self.heard.put(error)
                    continue
                except CertificateError:
                    return
                with session:
                    self.heard.put(self._read(session))

    def _read(self, session: ssl.SSLSocket) -> Heard | OSError:
        identity = peer_identity(session)
        time.sleep(self._pause)
        received = b""
        try:
            while data := session.recv(65536):
                received += data
        except OSError as error:
            return error
        return received, identity

    def next(self) -> Heard | OSError:
        """Return what the next connection brought."""
        return self.heard.get(timeout=PATIENCE)

    def close(self) -> None:
        """End the thread by a last connection that gets no context."""
        self._tls.context = self._refuse  # type: ignore[method-assign]
        socket.create_connection(("127.0.0.1", self.port)).close()
        self._thread.join()
        self._socket.close()

    def _refuse(self) -> ssl.SSLContext:
        raise CertificateError("closed")


@pytest.fixture
def listen() -> Iterator[Callable[..., Listener]]:
    """Start listeners; all are closed at the end."""
    with contextlib.ExitStack() as stack:

        def start(tls: ServerTls, pause: float = 0.0) -> Listener:
            listener = Listener(tls, pause)
            stack.callback(listener.close)
            return listener

        yield start


@pytest.fixture
def made(authority: Authority) -> Authority:
    """An authority with its files."""
    authority.ensure()
    return authority


def server_tls(authority: Authority, **options: object) -> ServerTls:
    certificate, key = authority.server_certificate, authority.server_key
    return ServerTls(certificate, key, **options)  # type: ignore[arg-type]


def client_context(authority: Authority, shown: Issued | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=authority.ca_certificate)
    context.verify_flags |= ssl.VERIFY_X509_STRICT
    if shown is not None:
        context.load_cert_chain(shown.file, shown.file.with_suffix(".key"))
    return context


def send(listener: Listener, context: ssl.SSLContext, host: str = "127.0.0.1") -> None:
    """Connect, send a batch, close."""
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname=host) as session:
        session.sendall(BATCH)


def served_fingerprint(listener: Listener, authority: Authority) -> str:
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE)
    with client_context(authority).wrap_socket(raw, server_hostname="localhost") as session:
        der = session.getpeercert(binary_form=True)
        assert der
        return hashlib.sha256(der).hexdigest()


@pytest.mark.parametrize("dialled", ["127.0.0.1", "localhost", "192.168.7.20", "2001:db8:7::20"])
def test_handshake_by_name_and_by_address(
    made: Authority, listen: Callable[..., Listener], dialled: str
) -> None:
    """A client that checks strictly accepts the server by each name and address."""
    listener = listen(server_tls(made))
    send(listener, client_context(made), dialled)
    assert listener.next() == (BATCH, None)


@pytest.mark.parametrize(
    "cipher", ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-CHACHA20-POLY1305"]
)
def test_openssl_client_with_the_ciphers_of_boards(
    made: Authority, listen: Callable[..., Listener], cipher: str
) -> None:
    """The openssl program connects over TLS 1.2 with what ESP8266 and ESP32 have."""
    listener = listen(server_tls(made))
    done = s_client(made, listener, "-tls1_2", "-cipher", cipher)
    assert done.returncode == 0, done.stderr
    assert listener.next() == (BATCH, None)


@pytest.mark.parametrize(
    "options",
    [
        ("-tls1_1", "-cipher", "ALL:@SECLEVEL=0"),
        ("-tls1_2", "-cipher", "AES128-GCM-SHA256"),
        ("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA256"),
    ],
)
def test_old_versions_and_weak_ciphers_are_refused(
    made: Authority, listen: Callable[..., Listener], options: tuple[str, ...]
) -> None:
    """TLS 1.1, a key exchange without forward secrecy, and CBC find no server here."""
    listener = listen(server_tls(made))
    assert s_client(made, listener, *options).returncode != 0
    assert isinstance(listener.next(), ssl.SSLError)


def s_client(
    authority: Authority, listener: Listener, *options: str
) -> subprocess.CompletedProcess[bytes]:
    command = ["openssl", "s_client", "-connect", f"127.0.0.1:{listener.port}", "-brief"]
    command += ["-CAfile", str(authority.ca_certificate), "-verify_return_error"]
    command += ["-verify_ip", "127.0.0.1", *options]
    return subprocess.run(command, input=BATCH, capture_output=True, timeout=PATIENCE, check=False)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_that_never_reads_loses_nothing(
    made: Authority, listen: Callable[..., Listener], version: ssl.TLSVersion
) -> None:
    """A board that writes and closes without reading ends in FIN, so its batch arrives whole."""
    context = client_context(made)
    context.minimum_version = context.maximum_version = version
    listener = listen(server_tls(made), pause=0.4)
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE)
    session = context.wrap_socket(raw, server_hostname="127.0.0.1")
    time.sleep(0.1)  # so that a ticket, if there were one, would lie unread
    much = BATCH * 20_000  # more than the kernels hold, so that a RST would cut it
    session.sendall(much)
    session.close()
    assert listener.next() == (much, None)


def test_tls12_session_is_resumed(made: Authority, listen: Callable[..., Listener]) -> None:
    """A board that kept its TLS 1.2 session skips the key exchange next time."""
    listener = listen(server_tls(made))
    context = client_context(made)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="127.0.0.1") as first:
        session = first.session
        assert session is not None
        assert session.has_ticket
    raw = socket.create_connection(("127.0.0.1", listener.port), timeout=PATIENCE)
    with context.wrap_socket(raw, server_hostname="127.0.0.1", session=session) as second:
        assert second.session_reused


def test_renewal_is_seen_by_the_next_connection(
    made: Authority, listen: Callable[..., Listener]
) -> None:
    """A renewed certificate needs no restart, and open connections go on."""
    tls = server_tls(made)
    listener = listen(tls)
    before = served_fingerprint(listener, made)
    assert served_fingerprint(listener, made) == before
    made.renew_server()
    after = served_fingerprint(listener, made)
    assert after == made.list()[1].fingerprint
    assert after != before


def test_context_is_kept_while_nothing_changes(made: Authority) -> None:
    """Without a change every call gives the same context."""
    tls = server_tls(made)
    assert tls.context() is tls.context()


def test_mismatched_key_keeps_the_old_certificate(
    tmp_path: Path, host: Host, made: Authority
) -> None:
    """A key of another pair is reported once; the old context serves until it is mended."""
    errors: list[str] = []
    tls = server_tls(made, on_error=errors.append)
    good = tls.context()
    key = made.server_key.read_bytes()
    other = Authority(tmp_path / "other", host)
    other.ensure()
    made.server_key.write_bytes(other.server_key.read_bytes())
    assert tls.context() is good
    assert tls.context() is good
    assert len(errors) == 1
    assert "is not the key of" in errors[0]
    made.server_key.write_bytes(key)
    assert tls.context() is not good
    assert len(errors) == 1


def test_vanished_file_keeps_the_old_certificate(made: Authority) -> None:
    """A file that is gone for a while is reported once and breaks nothing."""
    errors: list[str] = []
    tls = server_tls(made, on_error=errors.append)
    good = tls.context()
    made.server_certificate.rename(made.server_certificate.with_suffix(".away"))
    assert tls.context() is good
    assert tls.context() is good
    assert len(errors) == 1
    assert f"{made.server_certificate} does not exist" in errors[0]


@pytest.mark.parametrize("name", ["server_certificate", "server_key"])
def test_missing_file_at_the_start_is_an_error(made: Authority, name: str) -> None:
    """Without a first good context there is nothing to serve; the missing file is named."""
    file: Path = getattr(made, name)
    file.unlink()
    with pytest.raises(CertificateError, match=str(file)):
        server_tls(made).context()


def test_broken_and_protected_files_are_errors(made: Authority) -> None:
    """A key with a password gives a sentence, not a question on the terminal."""
    protected = made.server_key.with_name("protected.key")
    command = ["openssl", "pkey", "-in", str(made.server_key), "-aes256", "-passout", "pass:secret"]
    subprocess.run([*command, "-out", str(protected)], check=True)
    with pytest.raises(CertificateError, match="without a password"):
        ServerTls(made.server_certificate, protected).context()
    empty = made.server_key.with_name("empty.crt")
    empty.write_text("")
    with pytest.raises(CertificateError, match="no usable client certificates"):
        server_tls(made, client_ca=empty).context()


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_client_certificate_is_optional_and_names_its_device(
    made: Authority, listen: Callable[..., Listener], version: ssl.TLSVersion
) -> None:
    """With a certificate the device is known by fingerprint and name, without it is nobody."""
    listener = listen(server_tls(made, client_ca=made.ca_certificate))
    issued = made.issue_client("Küche 1")
    for shown, identity in ((issued, (issued.fingerprint, "Küche 1")), (None, None)):
        context = client_context(made, shown)
        context.maximum_version = version
        send(listener, context)
        assert listener.next() == (BATCH, identity)


def test_required_client_certificate(made: Authority, listen: Callable[..., Listener]) -> None:
    """Where a certificate is required, a client without one stores nothing."""
    tls = server_tls(made, client_ca=made.ca_certificate, client_required=True)
    listener = listen(tls)
    with contextlib.suppress(OSError):
        send(listener, client_context(made))
    assert isinstance(listener.next(), ssl.SSLError)
    issued = made.issue_client("porch")
    send(listener, client_context(made, issued))
    assert listener.next() == (BATCH, (issued.fingerprint, "porch"))


def test_foreign_client_certificate_is_refused(
    tmp_path: Path, host: Host, made: Authority, listen: Callable[..., Listener]
) -> None:
    """A certificate of another authority is refused even where none is required."""
    foreign = Authority(tmp_path / "other", host).issue_client("porch")
    listener = listen(server_tls(made, client_ca=made.ca_certificate))
    with contextlib.suppress(OSError):
        send(listener, client_context(made, foreign))
    refused = listener.next()
    assert isinstance(refused, ssl.SSLError)
    assert refused.reason == "CERTIFICATE_VERIFY_FAILED"


def test_bundle_of_the_clients_own_certificates(
    tmp_path: Path, host: Host, made: Authority, listen: Callable[..., Listener]
) -> None:
    """A listed certificate is trusted by itself, whoever signed it; its neighbour is not."""
    foreign = Authority(tmp_path / "other", host)
    listed, unlisted = foreign.issue_client("listed"), foreign.issue_client("unlisted")
    bundle = tmp_path / "client_certs.crt"
    bundle.write_bytes(listed.file.read_bytes())
    listener = listen(server_tls(made, client_ca=bundle, client_required=True))
    send(listener, client_context(made, listed))
    assert listener.next() == (BATCH, (listed.fingerprint, "listed"))
    with contextlib.suppress(OSError):
        send(listener, client_context(made, unlisted))
    assert isinstance(listener.next(), ssl.SSLError)


async def test_ensure_certificates_in_a_child(tmp_path: Path) -> None:
    """The child makes the files, says so, and does nothing the second time."""
    data = tmp_path / "my data"
    done = await ensure_certificates(data, ["attic.lan"], ["2001:db8::9"])
    assert done["made"] == ["ca", "server"]
    assert {"attic.lan", "2001:db8::9"} <= set(Authority(data).list()[1].san)
    assert (await ensure_certificates(data, ["attic.lan"]))["made"] == []


async def test_ensure_certificates_passes_on_the_sentence(tmp_path: Path) -> None:
    """What stops the child is said in its own words, and only that."""
    (tmp_path / "ca.crt").write_text("broken")
    with pytest.raises(CertificateError) as raised:
        await ensure_certificates(tmp_path)
    sentence = str(raised.value)
    assert sentence.startswith(f"{tmp_path / 'ca.crt'} holds no readable certificate")
    assert "\n" not in sentence


def test_serving_tls_never_loads_cryptography() -> None:
    """The hub's process stays small: the module works with the standard library's TLS alone."""
    program = "import sys, motehub.security.tls; sys.exit('cryptography' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_revocations_are_counted_without_reading_the_list_again(tmp_path: Path) -> None:
    """Another number after each change of the file, also when it comes or goes."""
    revoked = tmp_path / "revoked"
    tls = ServerTls(tmp_path / "x.crt", tmp_path / "x.key", revoked=revoked)
    numbers = [tls.revocations(), tls.revocations()]
    assert numbers[0] == numbers[1]
    revoked.write_text("ab 2026-01-01 kitchen\n")
    numbers.append(tls.revocations())
    assert tls.is_revoked("ab")
    revoked.write_text("ab 2026-01-01 kitchen\ncd 2026-01-02 attic\n")
    assert tls.is_revoked("cd")
    numbers.append(tls.revocations())
    revoked.unlink()
    numbers.append(tls.revocations())
    assert not tls.is_revoked("ab")
    assert len(set(numbers)) == 4
    assert ServerTls(tmp_path / "x.crt", tmp_path / "x.key").revocations() == 0
