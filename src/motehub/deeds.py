"""What requests on the control socket are in the list of what people did."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from motehub.core.audit import Deed, Way
from motehub.core.retention import KEPT_TIERS

WHO: Final = "owner of the data folder"
"""Whoever may open the control socket; it does not know people apart."""

# Tags of requests that change something, and what the API calls the same.
_DEEDS: Final = {
    "accept": "accept_device",
    "rename": "rename_device",
    "block": "block_device",
    "remove": "remove_device",
    "create_token": "create_token",
    "revoke_token": "revoke_token",
    "send_command": "send_command",
    "add_user": "add_user",
    "set_email": "change_user",
    "set_password": "set_password",
    "invite_user": "invite_user",
    "set_role": "change_user",
    "remove_user": "remove_user",
    "add_unit": "add_unit",
    "change_unit": "change_unit",
    "remove_unit": "remove_unit",
    "calibrate": "calibrate",
    "set_retention": "set_retention",
    "choose_retention": "choose_retention",
    "confirm_clock": "confirm_clock",
    "maintain": "maintain_device",
    "add_rule": "add_rule",
    "change_rule": "change_rule",
    "remove_rule": "remove_rule",
    "answer_alert": "answer_alert",
    "add_report": "add_report",
    "change_report": "change_report",
    "remove_report": "remove_report",
    "send_report": "send_report",
    "bring_back": "bring_back",
}
_OF_RETENTION: Final = {"set_retention", "choose_retention"}
TOLD: Final = (
    "new_name",
    "role",
    "email",
    "scopes",
    "devices",
    "setting",
    "value",
    "payload",
    "alert",
    "act",
    "metric",
    *KEPT_TIERS,
    "disk_budget",
)
"""What is told of a request beside its name: nothing in which there may be a secret."""


def deed_of(request: msgspec.Struct) -> Deed | None:
    """Return what ``request`` does, or None where it changes nothing."""
    fields: dict[str, Any] = msgspec.to_builtins(request)
    deed = _DEEDS.get(str(fields.get("type")))
    if deed is None:
        return None
    if deed in _OF_RETENTION:
        fields |= fields.pop("rule", {})
    subject = fields.get("name") or fields.get("device") or ""
    told = {key: fields[key] for key in TOLD if fields.get(key) not in (None, "", [], ())}
    return Deed(
        WHO,
        Way.COMMAND_LINE,
        deed,
        str(subject),
        ", ".join(f"{key}: {_words(value)}" for key, value in told.items()),
    )


def _words(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
