"""``motehub rules``, ``motehub alerts`` and ``motehub mail``: who is told of what."""

from __future__ import annotations

import getpass
import time
from pathlib import Path
from typing import Any, Final

import click

from motehub.cli.options import (
    Format,
    about_devices,
    data_option,
    format_option,
    given_fields,
    limit_option,
    with_options,
)
from motehub.errors import ConfigurationError, OwnerError

RULE_COLUMNS: Final = ("name", "when", "devices", "labels", "severity", "enabled", "origin")
ALERT_COLUMNS: Final = (
    "id",
    "state",
    "severity",
    "began",
    "ended",
    "text",
    "rule",
    "acknowledged_by",
    "snoozed_until",
    "told",
)

_MICROSECONDS: Final = 1_000_000


@click.group("rules")
def rules() -> None:
    """List, add, change and remove what you want to be told of; try it on the past."""


@rules.command("list")
@data_option
@format_option
def list_rules(data: Path, format_: Format) -> None:
    """List all rules, and who has said them."""
    from motehub.alert_requests import ListRules
    from motehub.alerting import desk
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import print_rows

    pending = desk.pending(data)
    rows = tell_hub(data, ListRules())["rules"]
    rows = [{**row, "pending": pending.get(row["name"], 0)} for row in rows]
    others = {key for row in rows for key in row if key not in RULE_COLUMNS}
    print_rows(RULE_COLUMNS, rows, format_, "There are no rules.", not_in_table=others)


_rule_options = with_options(
    click.option("--metric", metavar="NAME", help="What is looked at: temperature."),
    *about_devices,
    click.option("--above", type=float, help="It fires when a reading is greater."),
    click.option("--below", type=float, help="It fires when a reading is less."),
    click.option("--rises", type=float, help="It fires when readings rise by more ..."),
    click.option("--falls", type=float, help="... or fall by more ..."),
    click.option("--changes", type=float, help="... or either ..."),
    click.option("--within", metavar="TIME", help="... within this time: '10m'."),
    click.option("--equals", metavar="TEXT", help="It fires while the reading is this."),
    click.option("--stuck", metavar="TIME", help="It fires when it is the same for: '6h'."),
    click.option("--silent", metavar="TIME", help="It fires when nothing comes: '1h', 'auto'."),
    click.option("--offline", is_flag=True, default=None, help="It fires when it leaves."),
    click.option("--hysteresis", type=float, help="How far it must be back for it to end."),
    click.option("--for", "for", metavar="TIME", help="It must be so for this long: '5m'."),
    click.option("--clear-for", metavar="TIME", help="It must be well again for this long."),
    click.option(
        "--severity", type=click.Choice(["info", "warning", "critical"]), help="How bad it is."
    ),
    click.option("--notify", multiple=True, metavar="NAME", help="Who is told: mail, …"),
    click.option("--repeat", metavar="TIME", help="They are told again, until acknowledged."),
    click.option("--quiet", metavar="TIMES", help="When nobody is told: '22:00-07:00'."),
    click.option("--message", metavar="TEXT", help="What they are told: '{device} {value}'."),
)


def _about(rule: dict[str, Any]) -> str:
    from motehub.cli.printing import shown

    # A name that is misspelt would never be heard of again.
    hint = f" {shown(rule['hint'])}" if rule["hint"] else ""
    if rule["about"] or not rule["enabled"]:
        return hint
    return f" Nothing that it is about is there yet.{hint}"


@rules.command()
@click.argument("name")
@_rule_options
@data_option
def add(name: str, data: Path, **given: Any) -> None:
    """Be told from now on: motehub rules add 'too warm' --metric temperature --above 30."""
    from motehub.alert_requests import AddRule
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown

    rule = tell_hub(data, AddRule({"name": name, **given_fields(given)}))
    click.echo(f"{shown(rule['name'])} is looked at: {shown(rule['when'])}.{_about(rule)}")


@rules.command()
@click.argument("name")
@click.option("--enabled/--disabled", default=None, help="Whether it is looked at.")
@_rule_options
@data_option
def change(name: str, data: Path, **given: Any) -> None:
    """Change what is given of a rule; what it has found until now is over."""
    from motehub.alert_requests import ChangeRule
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown

    rule = tell_hub(data, ChangeRule(name, given_fields(given)))
    click.echo(f"{shown(rule['name'])} is changed: {shown(rule['when'])}.{_about(rule)}")


@rules.command()
@click.argument("name")
@data_option
def remove(name: str, data: Path) -> None:
    """Be told of it no more."""
    from motehub.alert_requests import RemoveRule
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import shown

    tell_hub(data, RemoveRule(name))
    click.echo(f"{shown(name)} is removed.")


@rules.command()
@click.argument("name", default="preview")
@click.option("--since", metavar="TIME", default="7d", show_default=True, help="'7d' = a week.")
@click.option("--known", is_flag=True, help="NAME is a rule that there is already.")
@_rule_options
@data_option
def preview(name: str, since: str, known: bool, data: Path, **given: Any) -> None:
    """Say how often a rule would have fired: motehub rules preview --metric temperature --above 30.

    Nothing is kept. With --known it is the rule called NAME, with what else is given changed.
    """
    from motehub.alert_requests import ListRules
    from motehub.alerts.rule import describe, rule_of
    from motehub.cli.opening import history_of, tell_hub
    from motehub.cli.printing import local_moment, shown
    from motehub.core.preview import preview as judge
    from motehub.core.profiles import Profiles
    from motehub.core.rules import facts_of
    from motehub.core.steps import drain
    from motehub.journals.sqlite import SqliteLogReader
    from motehub.quantities import Duration

    fields = {"name": name, **given_fields(given)}
    if known:
        there = {one["name"]: one for one in tell_hub(data, ListRules())["rules"]}
        if name not in there:
            raise OwnerError(f"There is no rule called {name!r}: 'motehub rules list'.")
        said = {key: one for key, one in there[name].items() if key not in ("origin", "when")}
        fields = {**said, **fields}
    rule = rule_of(fields)
    now = time.time_ns() // 1000
    begin = now - round(Duration.parse(since) * _MICROSECONDS)
    with history_of(data) as (store, complete):
        reader = SqliteLogReader(data)
        said = facts_of(Profiles.from_state(reader.state()))
        reader.close()
        found = drain(judge(store, rule, begin, now, said))
    times = "time" if found.count == 1 else "times"
    click.echo(f"{shown(describe(rule))}: would have fired {found.count} {times} in {since}.")
    for one in found.alerts:
        what = f"{one.device} {one.metric or ''}".strip()
        value = "" if one.value is None else f", {one.value}"
        ended = "now" if one.ended is None else local_moment(one.ended)
        click.echo(f"  {local_moment(one.began)} to {ended}: {shown(f'{what}{value}')}")
    click.echo(f"{found.readings} readings of {found.series} series or devices were looked at.")
    if not complete:
        click.echo("The newest readings are not in the history yet.", err=True)


@click.group("alerts")
def alerts() -> None:
    """List, acknowledge and snooze alerts; keep devices in maintenance quiet."""


@alerts.command("list")
@click.option("--all", "every", is_flag=True, help="Also those that are over.")
@limit_option
@data_option
@format_option
def list_alerts(every: bool, limit: int, data: Path, format_: Format) -> None:
    """List alerts, newest first."""
    from msgspec.structs import asdict

    from motehub.alerting import desk
    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_rows

    check_folder(data)
    rows = [asdict(one) for one in desk.alerts(data, limit, is_open=not every)]
    hidden = set(desk.AlertShape.__struct_fields__) - set(ALERT_COLUMNS)
    print_rows(ALERT_COLUMNS, rows, format_, "There is no alert.", not_in_table=hidden)


@alerts.command()
@data_option
@format_option
def channels(data: Path, format_: Format) -> None:
    """List through whom people are told, with what waits and the last trouble."""
    from msgspec.structs import asdict

    from motehub.alerting import desk
    from motehub.cli.opening import check_folder
    from motehub.cli.printing import print_rows

    check_folder(data)
    rows = [asdict(one) for one in desk.channels(data)]
    names = tuple(desk.ChannelShape.__struct_fields__)
    print_rows(names, rows, format_, "Nobody is told: write a section [mail].")


@alerts.command()
@click.argument("number", type=int)
@data_option
def ack(number: int, data: Path) -> None:
    """Acknowledge an alert: it is not repeated any more."""
    _answer(data, number, "acknowledge", 0)
    click.echo(f"Alert {number} is acknowledged.")


@alerts.command()
@click.argument("number", type=int)
@click.argument("duration")
@data_option
def snooze(number: int, duration: str, data: Path) -> None:
    """Hear of an alert again only after DURATION: '2h'."""
    _answer(data, number, "snooze", _until(duration))
    click.echo(f"Alert {number} is snoozed.")


@alerts.command()
@click.argument("device", required=False)
@click.argument("duration", required=False)
@data_option
def maintenance(device: str | None, duration: str | None, data: Path) -> None:
    """Tell nobody of DEVICE for DURATION ('2h'); '0' ends it. Without DEVICE: list those."""
    from motehub.alert_requests import ListMaintenance, Maintain
    from motehub.cli.opening import tell_hub
    from motehub.cli.printing import local_time, shown

    if device is None:
        for name, end in tell_hub(data, ListMaintenance())["devices"].items():
            click.echo(f"{shown(name)} until {local_time(end)}")
        return
    if duration is None:
        raise click.UsageError("Say for how long: 2h, or 0 to end it.")
    until = 0 if duration == "0" else _until(duration)
    tell_hub(data, Maintain(device, until))
    click.echo(f"{shown(device)} is {'in' if until else 'out of'} maintenance.")


@click.group("mail")
def mail() -> None:
    """Try the mail server of the configuration."""


@mail.command()
@click.option("--config", type=click.Path(path_type=Path), help="The configuration file.")
def test(config: Path | None) -> None:
    """Send a mail now to all recipients of [mail], and say what came of it."""
    import secrets

    from motehub.alert_plans import mail_plan
    from motehub.alerting.mail import NotDelivered, send_mail
    from motehub.alerting.wording import trial
    from motehub.config import load
    from motehub.languages import Words

    configuration = load(config)
    plan = mail_plan(configuration)
    if plan is None:
        raise ConfigurationError("There is no mail server: write host in [mail] and give --config.")
    if not plan.recipients:
        raise ConfigurationError("Mails about alerts go to nobody: write recipients in [mail].")
    hub = configuration.hub.name
    wording = trial(hub, Words(configuration.hub.language.value))
    try:
        refused = send_mail(plan, wording, secrets.token_hex(12), time.time_ns() // 1000, hub)
    except NotDelivered as error:
        raise OwnerError(f"The mail did not leave: {error}.") from error
    if refused:
        raise OwnerError(f"The mail left, but not to all: {refused}.")
    click.echo(f"{plan.host} has taken a mail to {', '.join(plan.recipients)}.")


def _answer(data: Path, number: int, act: str, until: int) -> None:
    from motehub.alert_requests import AnswerAlert
    from motehub.alerting import desk
    from motehub.cli.opening import check_folder, tell_hub

    check_folder(data)
    desk.check_open(data, number)
    tell_hub(data, AnswerAlert(number, act, until, getpass.getuser()))


def _until(duration: str) -> int:
    from motehub.quantities import Duration

    return time.time_ns() // 1000 + round(Duration.parse(duration) * _MICROSECONDS)
