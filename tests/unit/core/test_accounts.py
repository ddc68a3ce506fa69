"""Setting up, logging in, inviting; what of it survives a restart."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tests.unit.core.support import FakeClock

from motehub.core.accounts import Accounts
from motehub.core.journal import Journal, JournalLimits
from motehub.core.people import (
    BROWSER_SECONDS,
    INVITATION_SECONDS,
    LINK_SECONDS,
    MOST_BROWSERS,
    People,
    Role,
)
from motehub.errors import (
    InvalidName,
    InvalidPassword,
    InvalidUser,
    UnknownUser,
    WrongPassword,
)
from motehub.journals.sqlite import SqliteLog
from motehub.model import MICROSECONDS, Scope

GOOD = "three damp seedlings"
OTHER = "seven dry cactuses"

# Weeks pass here, and nobody consumes what is written.
LIMITS = JournalLimits(size=10_000_000, age=10 * BROWSER_SECONDS)


@asynccontextmanager
async def opened(folder: Path, clock: FakeClock) -> AsyncIterator[Accounts]:
    log = SqliteLog(folder)
    try:
        async with asyncio.TaskGroup() as tasks, Journal(log, LIMITS, clock, tasks) as journal:
            yield Accounts(People.from_state(log.state()), journal, clock)
    finally:
        log.close()


def stored(folder: Path) -> str:
    """All that is in files."""
    return "".join(one.read_bytes().decode("latin-1") for one in folder.iterdir())


async def test_the_first_administrator_is_made_with_the_link_once(tmp_path: Path) -> None:
    """The code opens the hub for one person; afterwards it opens nothing."""
    async with opened(tmp_path, FakeClock()) as accounts:
        code = accounts.setup_code
        assert code is not None
        with pytest.raises(WrongPassword):
            await accounts.set_up("guessed", "marie", GOOD)
        secret, browser = await accounts.set_up(code, "marie", GOOD)
        assert accounts.people.get("marie").role is Role.ADMIN
        assert accounts.people.browser(secret, browser.created) == browser
        assert accounts.setup_code is None
        with pytest.raises(WrongPassword):
            await accounts.set_up(code, "eve", OTHER)
    async with opened(tmp_path, FakeClock()) as accounts:
        assert accounts.setup_code is None
        assert accounts.people.browser(secret, browser.created) == browser


async def test_of_two_who_use_the_link_at_once_one_is_refused(tmp_path: Path) -> None:
    """The link makes one administrator, however it is raced."""
    async with opened(tmp_path, FakeClock()) as accounts:
        code = accounts.setup_code or ""
        done = await asyncio.gather(
            accounts.set_up(code, "marie", GOOD),
            accounts.set_up(code, "eve", OTHER),
            return_exceptions=True,
        )
        assert [type(one) for one in done].count(WrongPassword) == 1
        assert len(accounts.people.all()) == 1


async def test_logging_in_and_out(tmp_path: Path) -> None:
    """The right name and password open a browser, which ends by logging out or by time."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD)
        for name, password in (("marie", OTHER), ("pierre", GOOD), ("marie", "")):
            with pytest.raises(WrongPassword, match="don't belong together"):
                await accounts.log_in(name, password)
        secret, browser = await accounts.log_in("marie", GOOD)
        token = accounts.people.token_of(browser)
        assert (token.scopes, accounts.people.has(token)) == ((Scope.READ,), True)
        await accounts.log_out(browser)
        assert accounts.people.browser(secret, clock.now) is None
        assert not accounts.people.has(token)
        secret, _ = await accounts.log_in("marie", GOOD)
        clock.now += BROWSER_SECONDS * MICROSECONDS
        assert accounts.people.browser(secret, clock.now) is None


async def test_a_browser_that_is_used_stays_logged_in(tmp_path: Path) -> None:
    """Its time begins anew with use, in the journal too."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD)
        secret, browser = await accounts.log_in("marie", GOOD)
        clock.now += BROWSER_SECONDS * MICROSECONDS // 2
        await accounts.renew(browser)
        clock.now += BROWSER_SECONDS * MICROSECONDS * 3 // 4
    async with opened(tmp_path, clock) as accounts:
        assert accounts.people.browser(secret, clock.now) is not None


async def test_another_password_logs_out_everywhere_else(tmp_path: Path) -> None:
    """Who changes it knows the old one, and goes on in a new browser alone."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("marie", Role.ADMIN, GOOD)
        elsewhere, browser = await accounts.log_in("marie", GOOD)
        with pytest.raises(WrongPassword):
            await accounts.change_password(accounts.people.get("marie"), OTHER, OTHER)
        with pytest.raises(InvalidPassword):
            await accounts.change_password(accounts.people.get("marie"), GOOD, "short")
        here, _ = await accounts.change_password(accounts.people.get("marie"), GOOD, OTHER)
        assert accounts.people.browser(elsewhere, browser.created) is None
        assert accounts.people.browser(here, browser.created) is not None
        await accounts.log_in("marie", OTHER)


async def test_an_invitation_is_good_once_and_for_a_week(tmp_path: Path) -> None:
    """Who is invited chooses a password; the link then opens nothing, nor does an old one."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as accounts:
        code = await accounts.add("pierre", Role.OPERATOR)
        assert code is not None
        with pytest.raises(WrongPassword):
            await accounts.log_in("pierre", "")
        await accounts.accept_invitation(code, GOOD)
        with pytest.raises(WrongPassword):
            await accounts.accept_invitation(code, OTHER)
        await accounts.log_in("pierre", GOOD)
        first, second = await accounts.invite("pierre"), await accounts.invite("pierre")
        with pytest.raises(WrongPassword):
            await accounts.accept_invitation(first, OTHER)
        clock.now += INVITATION_SECONDS * MICROSECONDS
        with pytest.raises(WrongPassword):
            await accounts.accept_invitation(second, OTHER)


async def test_somebody_stays_who_decides(tmp_path: Path) -> None:
    """The only administrator is neither removed nor made less; one who is only invited is none."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("marie", Role.ADMIN, GOOD)
        await accounts.add("pierre", Role.ADMIN)
        for refused in (accounts.remove("marie"), accounts.set_role("marie", Role.VIEWER)):
            with pytest.raises(InvalidUser):
                await refused
        await accounts.set_password("pierre", OTHER)
        await accounts.remove("marie")
        with pytest.raises(UnknownUser):
            accounts.people.get("marie")


async def test_another_role_holds_at_once(tmp_path: Path) -> None:
    """What was allowed by the role before is not any more, in open browsers too."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("marie", Role.OPERATOR, GOOD)
        _, browser = await accounts.log_in("marie", GOOD)
        before = accounts.people.token_of(browser)
        await accounts.set_role("marie", Role.VIEWER)
        assert not accounts.people.has(before)
        assert accounts.people.token_of(browser).scopes == (Scope.READ,)


async def test_names_are_taken_once(tmp_path: Path) -> None:
    """Two users can't be told apart by how an accent is typed."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("Zoë", Role.VIEWER, GOOD)
        with pytest.raises(InvalidName):
            await accounts.add("Zoë", Role.VIEWER, GOOD)


async def test_only_so_many_browsers(tmp_path: Path) -> None:
    """Beyond the limit the one that was used least lately has to log in again."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD)
        user = accounts.people.get("marie")
        secrets = []
        for _ in range(MOST_BROWSERS + 1):
            clock.now += 1
            secrets.append((await accounts._log_in(user))[0])
        alive = [accounts.people.browser(secret, clock.now) is not None for secret in secrets]
        assert alive == [False, *[True] * MOST_BROWSERS]


async def test_a_link_is_good_once_and_for_an_hour(tmp_path: Path) -> None:
    """The last one; it ends what else is open of the account, and is not kept as it is."""
    clock = FakeClock()
    async with opened(tmp_path, clock) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD, "marie@example.org")
        secret, browser = await accounts.log_in("marie", GOOD)
        voided, code = [await accounts.make_link("marie") for _ in range(2)]
        invitation = await accounts.invite("marie")
    assert code not in stored(tmp_path)
    async with opened(tmp_path, clock) as accounts:
        for wrong in ("", voided, "guessed"):
            with pytest.raises(WrongPassword, match="Ask for another one"):
                await accounts.use_link(wrong, OTHER)
        with pytest.raises(InvalidPassword):
            await accounts.use_link(code, "short")
        await accounts.use_link(code, OTHER)
        assert accounts.people.browser(secret, browser.created) is None
        for used in (accounts.use_link(code, GOOD), accounts.accept_invitation(invitation, GOOD)):
            with pytest.raises(WrongPassword):
                await used
        await accounts.log_in("marie", OTHER)
        late = await accounts.make_link("marie")
        clock.now += LINK_SECONDS * MICROSECONDS
        with pytest.raises(WrongPassword):
            await accounts.use_link(late, GOOD)


@pytest.mark.parametrize("invited", [True, False])
async def test_of_two_who_use_a_link_at_once_one_is_refused(tmp_path: Path, invited: bool) -> None:
    """It is good once, and so is an invitation, however it is raced."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD)
        made, use = accounts.make_link, accounts.use_link
        if invited:
            made, use = accounts.invite, accounts.accept_invitation
        code = await made("marie")
        done = await asyncio.gather(
            *(use(code, one) for one in (GOOD, OTHER)), return_exceptions=True
        )
        assert [type(one) for one in done].count(WrongPassword) == 1


async def test_links_go_to_the_address_that_was_proved(tmp_path: Path) -> None:
    """One that is another, or was changed since, gets none; two with the same are not guessed."""
    async with opened(tmp_path, FakeClock()) as accounts:
        await accounts.add("marie", Role.VIEWER, GOOD, "Marie@example.org")
        marie = accounts.people.get("marie")
        assert accounts.people.called("marie@EXAMPLE.org") == marie
        code = await accounts.make_link("marie")
        with pytest.raises(WrongPassword):
            await accounts.change_email(marie, OTHER, "eve@example.org")
        marie = accounts.people.get("marie")
        await accounts.change_email(marie, GOOD, " new@example.org ")
        assert accounts.people.get("marie").email == "new@example.org"
        with pytest.raises(WrongPassword):
            await accounts.use_link(code, OTHER)
        await accounts.add("pierre", Role.VIEWER, GOOD, "new@example.org")
        assert accounts.people.called("new@example.org") is None
        assert accounts.people.called("") is None


@pytest.mark.parametrize(
    "email",
    ["marie", "a@b@c", "a b@c.org", "a@c.org\nBcc: x@y.org", "<a@c.org>", "a@c.org,b@c.org"],
)
async def test_what_is_no_mail_address(tmp_path: Path, email: str) -> None:
    """Nothing that could end a header or name a second person."""
    async with opened(tmp_path, FakeClock()) as accounts:
        with pytest.raises(InvalidUser, match="no mail address"):
            await accounts.add("marie", Role.VIEWER, GOOD, email)
        assert accounts.people.all() == []
