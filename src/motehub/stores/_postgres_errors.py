"""What PostgreSQL's errors mean for whoever runs the hub, in plain words."""

from __future__ import annotations

from typing import Final

import psycopg
from psycopg import errors

from motehub.errors import DamagedDatabase, StorageError

# By SQLSTATE, for errors of a connection that stands: PostgreSQL's manual, appendix A.
_BY_CODE: Final[dict[str, str]] = {
    "53100": "The disk of {where} is full. Free some space on the server.",
    "53200": "{where} is out of memory. Give the server more, or stop what uses it.",
    "53300": "{where} has no connection left. Close other programs, or raise max_connections.",
    "57P01": "{where} was stopped. Start it again.",
    "57P02": "{where} crashed and is starting again.",
    "57P03": "{where} is starting or stopping. It is tried again.",
    "55P03": "{where} is locked by another program. Close that program.",
    "42501": "The user of {where} lacks a right: {detail}. Let it own the database.",
    "25006": "{where} can't be written: the server is read-only. Name the primary server.",
    "42P01": "{where} has no history yet, or a part of it is missing: {detail}.",
    "42P07": "{where} holds tables of another program: {detail}. "
    "Give motehub a database of its own.",
    "58030": "The disk failed under {where}: {detail}.",
}

_DAMAGED: Final = ("XX001", "XX002")

# A refused connection has no SQLSTATE, only the text of the server or of libpq.
_BY_TEXT: Final[tuple[tuple[str, str], ...]] = (
    ("password authentication failed", "{where} refuses the password. Mend [store] url."),
    ("no password supplied", "{where} wants a password. Put it into [store] url."),
    ("no pg_hba.conf entry", "{where} lets this machine not in: see its file pg_hba.conf."),
    ("too many clients", _BY_CODE["53300"]),
    ("starting up", _BY_CODE["57P03"]),
    ("shutting down", _BY_CODE["57P03"]),
    ("Connection refused", "{where} does not run, or not there. Start it, or mend [store] url."),
    ("No such file or directory", "{where} does not run, or not there. Start it."),
    ("timeout expired", "{where} does not answer. Look whether the server runs."),
    ("failed to resolve host", "The host of {where} is not known. Mend [store] url."),
    ("invalid", "{where} can't be opened: {detail}. Mend [store] url."),
)


def plain_error(error: psycopg.Error, where: str) -> StorageError:
    """Return ``error`` as a sentence that says what happened to ``where`` and what to do.

    Both are free of secrets: neither libpq nor the server repeats a password.
    """
    detail = " ".join(str(error).split("\n", 1)[0].split()) or type(error).__name__
    if error.sqlstate in _DAMAGED:
        text = f"{where} is damaged: {detail}. Restore it from a backup."
        return DamagedDatabase(_capital(text))
    sentence = _BY_CODE.get(error.sqlstate or "") or _by_text(str(error), error)
    return StorageError(_capital(sentence.format(where=where, detail=detail)))


def _by_text(text: str, error: psycopg.Error) -> str:
    if not isinstance(error, psycopg.OperationalError):
        return "{where}: {detail}."
    for part, sentence in _BY_TEXT:
        if part in text:
            return sentence
    if "does not exist" in text:
        return "{where} can't be opened: {detail}. Make it, or mend [store] url."
    if isinstance(error, errors.ConnectionTimeout):
        return "{where} does not answer. Look whether the server runs."
    if error.sqlstate is None:
        return "The connection to {where} broke off: {detail}. It is tried again."
    return "{where}: {detail}."


def _capital(sentence: str) -> str:
    return sentence[:1].upper() + sentence[1:]
