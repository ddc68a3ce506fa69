"""Section ``[transport.pusher_client]``: the dashboard of a base unit."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from msgspec import Meta

from motehub.http_client import check_header, place_of
from motehub.quantities import Duration

SECTION: Final = "[transport.pusher_client]"


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[transport.pusher_client]``."""

    enabled: Annotated[
        bool, Meta(description="Whether the hub works for a dashboard elsewhere.")
    ] = True
    api_url: Annotated[
        str, Meta(description="Address of the dashboard: https://HOST, perhaps with a path.")
    ] = ""
    api_token: Annotated[str, Meta(description="The token that the dashboard knows.")] = ""
    api_token_file: Annotated[str, Meta(description="A file with the token instead.")] = ""
    ca: Annotated[
        str,
        Meta(
            description="PEM file of the authority that the dashboard's certificate is of; "
            '"" = those of the system.'
        ),
    ] = ""
    key: Annotated[
        str,
        Meta(description='Key of the Pusher application; "" = readings go, commands don\'t come.'),
    ] = ""
    cluster: Annotated[
        str, Meta(description="Cluster of the hosted service: ws-CLUSTER.pusher.com.")
    ] = "eu"
    host: Annotated[
        str,
        Meta(description='Host of another server, such as the dashboard itself; "" = the cluster.'),
    ] = ""
    port: Annotated[
        int, Meta(ge=0, le=65535, description="Its port; 0 = 443 with TLS, 80 without.")
    ] = 0
    tls: Annotated[bool, Meta(description="Whether the connection to it is encrypted.")] = True
    protocol: Annotated[
        int, Meta(ge=5, le=7, description="Version of the protocol; the original spoke 5.")
    ] = 7
    auth: Annotated[
        str, Meta(description="Path of the dashboard at which private channels are authorised.")
    ] = "/api/broadcasting/auth"
    latest_only: Annotated[
        bool,
        Meta(description="Of what waits for the dashboard, keep only the newest of each unit."),
    ] = False
    rate: Annotated[
        float,
        Meta(
            gt=0,
            le=100_000,
            description="Late readings that are sent in a second; more where more new ones come.",
        ),
    ] = 100.0
    connections: Annotated[
        int, Meta(ge=1, le=64, description="Connections over which readings go at a time.")
    ] = 4
    timeout: Annotated[
        Duration, Meta(description="Longest time until the dashboard has answered.")
    ] = Duration(15)
    queue: Annotated[
        int,
        Meta(
            ge=100,
            le=10_000_000,
            description="Readings that wait for the dashboard; further ones stay in the journal.",
        ),
    ] = 100_000
    patience: Annotated[
        Duration,
        Meta(description="How long readings are kept of a unit that the dashboard refuses."),
    ] = Duration(86400)

    def __post_init__(self) -> None:
        """Check the address and what belongs together.

        Raises:
            ValueError: something is missing or can't be; the token is not repeated.
        """
        if not self.enabled:
            return
        try:
            place = place_of(self.api_url)
        except ValueError as error:
            raise ValueError(f"api_url {error}") from None
        if "?" in place.target:
            raise ValueError("api_url ends with the path: leave out the ? and what follows")
        if bool(self.api_token) == bool(self.api_token_file):
            raise ValueError("give api_token or api_token_file")
        check_header("Authorization", f"Bearer {self.api_token}")
        if not self.auth.startswith("/"):
            raise ValueError(f"auth: {self.auth!r:.60} is no path: it must begin with /")
