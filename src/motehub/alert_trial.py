"""A test of one channel of alerts: ``python -m motehub.alert_trial NAME``, and what came of it.

How people are told is in the environment, since that holds secrets. Standard output gets a line
of JSON: why the test has not arrived, or null.
"""

from __future__ import annotations

import os
import secrets
import sys
import time

import msgspec

from motehub.alerting.apprise_notifier import Notifier
from motehub.alerting.mail import NotDelivered, send_mail
from motehub.alerting.plan import MAIL, Plan
from motehub.alerting.wording import trial
from motehub.following import ALERT_PLAN
from motehub.languages import Words


def main() -> None:
    """Send it."""
    plan = msgspec.json.decode(os.environ[ALERT_PLAN], type=Plan)
    trouble = try_channel(plan, sys.argv[1])
    sys.stdout.buffer.write(msgspec.json.encode(trouble) + b"\n")


def try_channel(plan: Plan, name: str) -> str | None:
    """Send a test through the channel called ``name``; return why it has not arrived."""
    try:
        if name == MAIL and plan.mail is not None:
            key, now = secrets.token_hex(12), time.time_ns() // 1000
            wording = trial(plan.hub, Words(plan.language))
            refused = send_mail(plan.mail, wording, key, now, plan.hub)
            return f"not to all: {refused}" if refused else None
        (found,) = (one for one in plan.apprise if one.name == name)
        words = Words(found.language or plan.language)
        Notifier(found).send(trial(plan.hub, words), "info")
    except NotDelivered as error:
        return str(error)
    return None


if __name__ == "__main__":
    main()
