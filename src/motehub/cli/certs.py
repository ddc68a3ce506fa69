"""``motehub certs``: the hub's certificate authority, its certificate, and those of devices."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from motehub.cli.options import Format, data_option

if TYPE_CHECKING:  # it loads the cryptography package, too slow for 'motehub --help'
    from motehub.security.authority import Authority, Ensured, Issued


_SNIPPETS: Final = {
    "python": """
import json, socket, ssl

context = ssl.create_default_context(cafile="ca.crt")
context.load_cert_chain("{name}.crt", "{name}.key")
with socket.create_connection(("HUB", 1191)) as plain:
    with context.wrap_socket(plain, server_hostname="HUB") as hub:
        hub.sendall(json.dumps({{"{name}": {{"temperature": 21.5}}}}).encode())
""",
    "micropython": """
import json, socket, ssl

context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.verify_mode = ssl.CERT_REQUIRED
context.load_verify_locations(cafile="ca.crt")
context.load_cert_chain("{name}.crt", "{name}.key")
plain = socket.socket()
plain.connect(socket.getaddrinfo("HUB", 1191)[0][-1])
hub = context.wrap_socket(plain, server_hostname="HUB")
hub.write(json.dumps({{"{name}": {{"temperature": 21.5}}}}).encode())
hub.close()
""",
}


@click.group("certs")
def group() -> None:
    """Show, make and renew the certificates that boards trust."""


@group.command()
@click.option("--c-string", is_flag=True, help="Print a C string for firmware, not PEM.")
@data_option
def ca(c_string: bool, data: Path) -> None:
    """Print the CA's certificate, which boards trust; it is made when there is none."""
    authority = _open(data)
    _note(authority.ensure(), authority)
    _print(authority.ca_certificate, "HUB_CA" if c_string else "")


@group.command()
@click.option(
    "--show", "--c-string", is_flag=True, help="Print the certificate as a C string for firmware."
)
@click.option("--renew", is_flag=True, help="Make a new one now.")
@click.option("--name", multiple=True, metavar="HOST", help="Further host name to cover.")
@click.option("--address", multiple=True, metavar="IP", help="Further IP address to cover.")
@data_option
def server(
    show: bool, renew: bool, name: tuple[str, ...], address: tuple[str, ...], data: Path
) -> None:
    """Make or renew the server's certificate where needed, and say what it covers."""
    authority = _open(data)
    if name or address:
        authority.remember(name, address)
    _note(authority.renew_server() if renew else authority.ensure(), authority)
    if show:
        # mbedTLS (ESP32) accepts a certificate that is not self-signed only with its issuer.
        _print(authority.server_certificate, "HUB_CERTIFICATE", authority.ca_certificate)
        click.echo(
            "It holds the server's certificate and its CA. 'motehub certs ca --c-string' alone "
            "is enough, takes half the memory, and stays right when the certificate is renewed.",
            err=True,
        )
    else:
        _summarise(next(one for one in authority.list() if one.kind == "server"))


@group.command()
@data_option
def renew(data: Path) -> None:
    """Renew the server's certificate now; a running hub shows it from the next connection on."""
    authority = _open(data)
    _note(authority.renew_server(), authority)
    _summarise(next(one for one in authority.list() if one.kind == "server"))


@group.command()
@click.argument("name")
@click.option("--force", is_flag=True, help="Replace an existing one.")
@click.option(
    "--snippet",
    type=click.Choice(["python", "micropython"]),
    help="Print a program that sends JSON objects with it.",
)
@data_option
def client(name: str, force: bool, snippet: str | None, data: Path) -> None:
    """Make a certificate with which a device logs in under its name."""
    authority = _open(data)
    _note(authority.ensure(), authority)
    issued = authority.issue_client(name, force=force)
    click.echo(f"certificate  {issued.file}")
    click.echo(f"key          {issued.file.with_suffix('.key')}")
    click.echo(f"ca           {authority.ca_certificate}")
    click.echo("Give all three to the device, and the key to nobody else.", err=True)
    if snippet:
        click.echo(_SNIPPETS[snippet].format(name=name))


@group.command()
@click.argument("name")
@data_option
def revoke(name: str, data: Path) -> None:
    """Refuse a device's certificate from its next connection on, for good."""
    revoked = _open(data).revoke(name)
    click.echo(f"The certificate of {name} is revoked (SHA-256 {revoked.fingerprint}).")
    click.echo("A connection that is open now stays until it ends.", err=True)


@group.command("list")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@data_option
def list_certificates(as_json: bool, data: Path) -> None:
    """List the certificates of this hub, with their fingerprints."""
    from motehub.cli.printing import print_rows
    from motehub.security.authority import Authority

    issued = Authority(data).list()
    print_rows(
        ("kind", "name", "valid_until", "sha-256", "covers"),
        [_for_program(one) if as_json else _for_person(one) for one in issued],
        Format.JSON if as_json else Format.TABLE,
        empty="There are no certificates yet: 'motehub certs server' makes them.",
    )


def _open(data: Path) -> Authority:
    """Return the authority of the data folder, which is made when it is missing."""
    from motehub import data_folder
    from motehub.security.authority import Authority

    data_folder.prepare(data)
    return Authority(data)


def _note(done: Ensured, authority: Authority) -> None:
    """Say on standard error which files were made, if any."""
    files = {"ca": authority.ca_certificate, "server": authority.server_certificate}
    if done.made:
        made = " and ".join(str(files[one]) for one in done.made)
        click.echo(f"Made {made}: {done.reason}.", err=True)


def _print(certificate: Path, constant: str, issuer: Path | None = None) -> None:
    """Print PEM files as they are, or as one C string called ``constant``."""
    from motehub.security.authority import Authority

    pem = "".join(file.read_text("ascii") for file in (certificate, issuer) if file is not None)
    click.echo(Authority.c_string(pem, constant) if constant else pem, nl=False)


def _summarise(issued: Issued) -> None:
    click.echo(f"certificate  {issued.file}")
    click.echo(f"covers       {' '.join(dict.fromkeys(issued.san))}")
    click.echo(f"valid        {issued.not_before:%Y-%m-%d} to {issued.not_after:%Y-%m-%d}")
    click.echo(f"SHA-256      {issued.fingerprint}")


def _for_person(issued: Issued) -> dict[str, object]:
    return {
        "kind": issued.kind,
        "name": issued.name,
        "valid_until": f"{issued.not_after:%Y-%m-%d}",
        "sha-256": issued.fingerprint,
        "covers": list(dict.fromkeys(issued.san)),
    }


def _for_program(issued: Issued) -> dict[str, object]:
    return {
        "kind": issued.kind,
        "name": issued.name,
        "subject": issued.subject,
        "san": list(issued.san),
        "not_before": issued.not_before,
        "not_after": issued.not_after,
        "fingerprint": issued.fingerprint,
        "file": str(issued.file),
    }
