"""The certificates of a hub that runs."""

from __future__ import annotations

import asyncio
import ssl
from contextlib import suppress
from pathlib import Path

import pytest
from tests.harness import PATIENCE

from motehub.certificates import OwnCertificates
from motehub.config import Configuration, load
from motehub.security.authority import Authority


def configured(folder: Path) -> Configuration:
    """The configuration of a hub that is called nothing in particular."""
    return load(None, {"MOTEHUB_HUB_DATA_DIR": str(folder), "MOTEHUB_MDNS_ENABLED": "false"})


def covers(folder: Path, name: str) -> bool:
    """Whether the server's certificate has a name."""
    pem = (folder / "certificates" / "server.crt").read_text("ascii")
    return name.encode() in ssl.PEM_cert_to_DER_cert(pem)


async def test_a_name_that_was_found_is_in_every_certificate(tmp_path: Path) -> None:
    """A hub that is called motehub-2.local is so, too, when its certificate is renewed."""
    own = OwnCertificates(configured(tmp_path))
    await own.make()
    assert not covers(tmp_path, "motehub-2.local")
    await own.cover("motehub-2.local")
    assert covers(tmp_path, "motehub-2.local")
    # What the daily check finds when the certificate ends soon.
    (tmp_path / "certificates" / "server.crt").unlink()
    await own.make()
    assert covers(tmp_path, "motehub-2.local")
    await own.cover("motehub-3.local")
    (tmp_path / "certificates" / "server.crt").unlink()
    await own.make()
    assert covers(tmp_path, "motehub-3.local")
    assert not covers(tmp_path, "motehub-2.local")


async def test_a_name_that_cant_be_covered_now_is_covered_later(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What fails is one line of the log, and made up for by the next check."""
    own = OwnCertificates(configured(tmp_path))
    await own.make()
    key = tmp_path / "ca.key"
    kept = key.read_bytes()
    key.unlink()
    await own.cover("motehub-2.local")
    assert "certificate not renewed" in caplog.text
    key.write_bytes(kept)
    await own.make()
    assert covers(tmp_path, "motehub-2.local")


async def test_a_certificate_that_others_make_gets_the_names_of_the_hub(tmp_path: Path) -> None:
    """As with 'motehub certs renew', which does not know them."""
    own = OwnCertificates(configured(tmp_path), look_seconds=0.01)
    await own.make()
    await own.cover("motehub-2.local")
    keeping = asyncio.create_task(own.keep())
    Authority(tmp_path).renew_server()
    async with asyncio.timeout(PATIENCE):
        while not covers(tmp_path, "motehub-2.local"):
            await asyncio.sleep(0.01)
    keeping.cancel()
    with suppress(asyncio.CancelledError):
        await keeping
