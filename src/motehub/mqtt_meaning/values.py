"""What a payload says that is one value: a number, a boolean, or text."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec

TEXT_BYTES: Final = 65_536
"""Longest text that is a reading, in bytes."""

_one: Final = msgspec.json.Decoder(float).decode
_many: Final = msgspec.json.Decoder(list[float]).decode
_text: Final = msgspec.json.Decoder(str).decode
_REFUSED: Final = (msgspec.DecodeError, UnicodeDecodeError)
_BOOLEANS: Final = {b"true": 1.0, b"false": 0.0}
_SWITCH: Final = {"ON": 1.0, "OFF": 0.0}
_SPACE: Final = b" \t\r\n"
# With these begin numbers in JSON, and what ``float`` takes beside them: "nan", ".5", "+1".
_NUMBER_BEGINS: Final = frozenset(b"%c" % byte for byte in b"-0123456789 \t\r\n")
_ALMOST_BEGINS: Final = frozenset("+-.0123456789nNiI")


class NoReading(ValueError):
    """A payload is none; the message says why, as the end of a sentence."""


def numbers_of(payloads: Sequence[bytes]) -> list[float] | None:
    """Return the numbers that the payloads are, or None when one of them is something else.

    They are written as in JSON (RFC 8259 §6), which is stricter than Python's ``float``.
    """
    try:
        # One call in C for all. Each payload is one item at least, if this is JSON at all.
        values = _many(b"[%b]" % b",".join(payloads))
    except _REFUSED:
        return None
    return values if len(values) == len(payloads) else None


def value_of(payload: bytes) -> float | str:
    """Return the value that a payload is; ``true`` and ``false`` are 1 and 0.

    A JSON string is the text in it, and whatever else is no JSON is text as it stands.

    Raises:
        NoReading: it is neither, or looks like a number without being one.
    """
    if payload[:1] in _NUMBER_BEGINS:
        try:
            return _one(payload)
        except _REFUSED:
            pass
    plain = payload.strip(_SPACE)
    if plain in _BOOLEANS:
        return _BOOLEANS[plain]
    if not plain:
        raise NoReading("the payload is empty")
    if len(plain) > TEXT_BYTES:
        raise NoReading(f"the text is longer than {TEXT_BYTES:,} bytes")
    if plain[:1] == b'"':
        try:
            return _text(plain)
        except _REFUSED:
            raise NoReading("the payload begins like a JSON string, but is none") from None
    if plain == b"null":
        raise NoReading("the payload is null, which is no reading")
    try:
        text = plain.decode()
    except UnicodeDecodeError as error:
        raise NoReading(f"bad UTF-8 at byte {error.start}") from None
    if "\0" in text:
        raise NoReading("the text has a zero byte in it")
    if _is_almost_number(text):
        raise NoReading(f"{text[:40]!r} is not a number as JSON writes it, such as 21.5 or -1e3")
    return text


def number_of(text: str) -> float:
    """Return the number that a text is, written as in JSON.

    Raises:
        NoReading: it is none.
    """
    try:
        return _one(text)
    except _REFUSED:
        raise NoReading(f"{text[:40]!r} is not a number") from None


def switch_of(text: str) -> float | str:
    """Return 1 or 0 for ``ON`` and ``OFF``, in whichever case; any other text as it is."""
    return _SWITCH.get(text.upper(), text)


def is_text_of(payload: bytes, text: str) -> bool:
    """Tell whether a payload is ``text``, perhaps with white space around it."""
    return payload.strip(_SPACE) == text.encode()


def _is_almost_number(text: str) -> bool:
    """Tell whether programs that are less strict take ``text`` for a number."""
    if text[0] not in _ALMOST_BEGINS and text.isascii():
        return False
    try:
        float(text)
    except ValueError:
        return False
    return True
