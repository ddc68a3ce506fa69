"""Passwords, kept as scrypt hashes (RFC 7914)."""

from __future__ import annotations

import hmac
import os
from base64 import b64decode, b64encode
from hashlib import scrypt
from typing import Final

from motehub.errors import InvalidPassword

SHORTEST: Final = 10
"""Fewest characters of a password."""

LONGEST: Final = 256
"""Most characters of a password."""

# 32 MiB and about 0.2 s of one core of a small board.
_LOG_N: Final = 15
_R: Final = 8
_P: Final = 3
_SALT_BYTES: Final = 16
_KEY_BYTES: Final = 32
_MOST_MEMORY: Final = 64 * 2**20
_FORM: Final = "scrypt"


def check_password(password: str, name: str) -> None:
    """See that ``password`` may be that of the user called ``name``.

    Raises:
        InvalidPassword: it is too short, too long, or too easily guessed; says why.
    """
    if len(password) < SHORTEST:
        raise InvalidPassword(
            f"A password has at least {SHORTEST} characters. A few words in a row are best."
        )
    if len(password) > LONGEST:
        raise InvalidPassword(f"A password has at most {LONGEST} characters.")
    if name.casefold() in password.casefold() and len(password) - len(name) <= SHORTEST // 2:
        raise InvalidPassword("The password is hardly more than the name. Choose another one.")
    if len(set(password)) < SHORTEST // 2:
        raise InvalidPassword("The password repeats a few characters. Choose another one.")


def hash_password(password: str) -> str:
    """Return what is kept of ``password``: the method with its cost, a salt and the key.

    It takes a few tenths of a second of one core, on purpose.
    """
    salt = os.urandom(_SALT_BYTES)
    key = _derive(password, salt, _LOG_N, _R, _P)
    return "$".join([_FORM, f"{_LOG_N},{_R},{_P}", _text(salt), _text(key)])


def is_password(password: str, kept: str) -> bool:
    """Tell whether ``kept`` was made of ``password``; takes as long for a wrong one.

    For a ``kept`` that is empty, of a user that there is not, the answer is False after the
    same time.
    """
    if not kept:
        _derive(password, b"nobody", _LOG_N, _R, _P)
        return False
    form, cost, salt, key = kept.split("$")
    assert form == _FORM
    log_n, r, p = map(int, cost.split(","))
    return hmac.compare_digest(_derive(password, b64decode(salt), log_n, r, p), b64decode(key))


def _derive(password: str, salt: bytes, log_n: int, r: int, p: int) -> bytes:
    # A JSON text may hold half of a character, which UTF-8 lacks; no password has one.
    secret = password[: LONGEST + 1].encode("utf-8", "surrogatepass")
    return scrypt(secret, salt=salt, n=1 << log_n, r=r, p=p, maxmem=_MOST_MEMORY, dklen=_KEY_BYTES)


def _text(value: bytes) -> str:
    return b64encode(value).decode()
