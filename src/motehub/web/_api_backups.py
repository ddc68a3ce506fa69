"""Routes of back-ups, for the owner: one is begun, and then fetched."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from http import HTTPStatus
from typing import Annotated

import msgspec
from litestar import get, post
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import PathParameter
from litestar.types import ASGIApp, Send

from motehub.contracts import BackupDesk, BackupShape
from motehub.errors import BackupError, StorageError
from motehub.model import Scope
from motehub.web._api_access import ApiRequest, needs, services_of
from motehub.web._api_answers import Streaming, send_all
from motehub.web._api_document import ADMIN, CONFLICT, NAMED, READING, problems
from motehub.web.problems import Problem, unavailable


class Backups(msgspec.Struct, frozen=True):
    """The last back-up, if there was one, and whether one is being made at the moment."""

    last: BackupShape | None
    busy: bool


class Begun(msgspec.Struct, frozen=True):
    """A back-up that waits to be fetched: once, with GET, within a minute."""

    path: str


@get(
    "/backups",
    guards=[needs(Scope.ADMIN)],
    responses=problems(READING),
    summary="Show when the last back-up was made",
    sync_to_thread=False,
)
def show_backups(request: ApiRequest) -> Backups:
    """Return when the last back-up was made, by whatever way."""
    desk = _desk(request)
    return Backups(desk.last(), desk.busy)


@post(
    "/backups",
    guards=[needs(Scope.ADMIN)],
    responses=problems({**ADMIN, **CONFLICT, 503: "The databases can't be copied."}),
    summary="Begin a back-up",
)
async def make_backup(request: ApiRequest) -> Begun:
    """Begin a back-up of the data folder, and return where it is fetched.

    The answer comes when the databases are copied.
    """
    desk = _desk(request)
    if desk.busy:
        raise Problem(
            HTTPStatus.CONFLICT,
            "A back-up is being made",
            "A back-up is being made already. Try again when it is done.",
        )
    return Begun(f"/api/v1/backups/{await desk.begin()}")


@get(
    "/backups/{name:str}",
    guards=[needs(Scope.ADMIN)],
    responses={
        200: ResponseSpec(
            bytes,
            generate_examples=False,
            media_type="application/zstd",
            description="A tar file, compressed, for 'motehub restore'. It holds secrets.",
        ),
        **problems(READING | NAMED),
    },
    summary="Fetch a back-up that was begun",
)
async def fetch_backup(
    request: ApiRequest,
    name: Annotated[str, PathParameter(description="As the answer says.", max_length=100)],
) -> ASGIApp:
    """Return the back-up, as fast as it is taken; broken off, it is not complete."""
    desk = _desk(request)
    pieces = desk.fetch(name)
    if pieces is None:
        raise Problem(
            HTTPStatus.NOT_FOUND,
            "Not found",
            "There is no such back-up: each is fetched once, within a minute. Begin another one.",
        )
    date = f"{services_of(request.app).today():%Y-%m-%d}"
    return _Sending(pieces, f"motehub-{date}.tar.zst")


class _Sending(Streaming):
    """The response with a back-up."""

    def __init__(self, pieces: AsyncGenerator[bytes, None], file_name: str) -> None:
        self._pieces = pieces
        self._file_name = file_name

    async def _answer(self, send: Send) -> None:
        headers = [
            (b"content-type", b"application/zstd"),
            (b"content-disposition", f'attachment; filename="{self._file_name}"'.encode()),
        ]
        async with aclosing(self._pieces), aclosing(_plain(self._pieces)) as pieces:
            await send_all(send, headers, pieces)


async def _plain(pieces: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    """Yield the pieces; what goes wrong with them cuts the answer off."""
    try:
        async for piece in pieces:
            yield piece
    except (BackupError, StorageError) as error:
        raise unavailable(str(error)) from error


def _desk(request: ApiRequest) -> BackupDesk:
    desk = services_of(request.app).backups
    if desk is None:
        raise unavailable("This hub makes no back-ups.")
    return desk
