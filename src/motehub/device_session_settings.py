"""Section ``[device_sessions]`` of the configuration."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from motehub.core.sessions import Contest, check_name_pattern
from motehub.errors import InvalidName


class DeviceSessionSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Section ``[device_sessions]``."""

    name_pattern: Annotated[
        str,
        Meta(description="Names of devices that join by MQTT without one; they are numbered."),
    ] = "capteur{number:02}"
    contested: Annotated[
        Contest,
        Meta(
            description="A device announced that is online from elsewhere: take over (it begins "
            "anew), refuse (until that connection ends)."
        ),
    ] = Contest.TAKE_OVER

    def __post_init__(self) -> None:
        """Check what makes names."""
        try:
            check_name_pattern(self.name_pattern)
        except InvalidName as error:
            raise ValueError(f"name_pattern: {str(error).rstrip('.')}") from error
