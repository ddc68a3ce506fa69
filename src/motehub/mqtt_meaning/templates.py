"""The value templates of Home Assistant that only pick a value, and compute a little with it.

Templates are Jinja programs. Those of sensors are nearly all of a few forms, such as
``{{ value_json.temperature | float / 10 }}``; the others are not understood here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import Any, Final

from motehub.mqtt_meaning.objects import DEPTH, decode_json
from motehub.mqtt_meaning.values import NoReading

LENGTH: Final = 500
"""Longest template."""

Evaluate = Callable[["Payload"], Any]
"""Returns the value of an expression, None where there is none."""

_TOKEN: Final = re.compile(
    r"""\s*(?:(?P<number>\d+(?:\.\d+)?)|(?P<name>[A-Za-z_]\w*)|'(?P<single>[^'\\]*)'"""
    r"""|"(?P<double>[^"\\]*)"|(?P<mark>[-.+*/|()\[\],]))"""
)
_OUTER: Final = re.compile(r"\s*\{\{-?(.*?)-?\}\}\s*", re.DOTALL)


class NotUnderstood(ValueError):
    """A template is none of those that are; the message says what in it."""


class Payload:
    """A payload, and what it is as JSON, decoded when it is first asked for."""

    def __init__(self, payload: bytes) -> None:
        self._payload = payload
        self._json: Any = self

    @property
    def text(self) -> str:
        """The payload as text.

        Raises:
            NoReading: it is not UTF-8.
        """
        try:
            return self._payload.decode()
        except UnicodeDecodeError as error:
            raise NoReading(f"bad UTF-8 at byte {error.start}") from None

    @property
    def json(self) -> Any:
        """The value that it is in JSON.

        Raises:
            NoReading: it is none.
        """
        if self._json is self:
            self._json = decode_json(self._payload)
        return self._json


def text_of(payload: Payload) -> Any:
    """Return the value where there is no template: the payload."""
    return payload.text


def parse_template(template: str) -> Evaluate:
    """Return what computes the value.

    Raises:
        NotUnderstood: it would need all of Jinja.
    """
    outer = _OUTER.fullmatch(template[:LENGTH])
    if not outer or len(template) > LENGTH:
        raise NotUnderstood("it is not one expression in {{ }}")
    return _Parser(outer[1]).whole()


class _Parser:
    """Recursive descent; filters bind more strongly than operators, as in Jinja."""

    def __init__(self, text: str) -> None:
        self._tokens: list[tuple[str, str]] = []
        position = 0
        while text[position:].strip():
            token = _TOKEN.match(text, position)
            if not token:
                raise NotUnderstood(f"{text[position:].strip()[:20]!r} in it")
            kind = str(token.lastgroup)
            self._tokens.append(("text" if kind in ("single", "double") else kind, token[kind]))
            position = token.end()
        self._at = 0
        self._depth = 0

    def whole(self) -> Evaluate:
        value = self._sum()
        if self._at < len(self._tokens):
            raise NotUnderstood(f"{self._tokens[self._at][1]!r} in it")
        return value

    def _sum(self) -> Evaluate:
        value = self._product()
        while mark := self._accept("+", "-"):
            value = _compute(mark, value, self._product())
        return value

    def _product(self) -> Evaluate:
        value = self._filtered()
        while mark := self._accept("*", "/"):
            value = _compute(mark, value, self._filtered())
        return value

    def _filtered(self) -> Evaluate:
        value = self._atom()
        while self._accept("|"):
            name = self._take("name")
            value = _filter(name, value, self._arguments() if self._accept("(") else [])
        return value

    def _atom(self) -> Evaluate:
        if self._accept("("):
            self._depth += 1
            if self._depth > DEPTH:
                raise NotUnderstood("so many parentheses")
            value = self._sum()
            self._expect(")")
            return value
        if self._accept("-"):
            return _compute("-", lambda payload: 0, self._atom())
        kind, text = self._next()
        if kind == "number":
            number = float(text) if "." in text else int(text[:18])
            return lambda payload: number
        if kind == "text":
            return lambda payload: text
        if kind == "name" and text == "value":
            return text_of
        if kind == "name" and text == "value_json":
            return self._member()
        if kind == "name" and text in ("float", "int") and self._accept("("):
            inner = self._sum()
            rest = self._arguments() if self._accept(",") else self._expect(")")
            return _filter(text, inner, rest)
        raise NotUnderstood(f"{text!r} in it")

    def _member(self) -> Evaluate:
        path: list[str | int] = []
        while mark := self._accept(".", "["):
            if mark == ".":
                path.append(self._take("name"))
                continue
            kind, text = self._next()
            if kind not in ("number", "text") or (kind == "number" and not text.isdecimal()):
                raise NotUnderstood(f"{text!r} in it")
            path.append(int(text[:9]) if kind == "number" else text)
            self._expect("]")
        return lambda payload: _look_up(payload.json, path)

    def _arguments(self) -> list[Any]:
        """Return the literals up to the closing parenthesis."""
        found: list[Any] = []
        while not self._accept(")"):
            sign = -1 if self._accept("-") else 1
            kind, text = self._next()
            if kind == "number":
                found.append(sign * (float(text) if "." in text else int(text[:18])))
            elif kind == "text":
                found.append(text)
            elif text.lower() in ("none", "true", "false"):
                found.append({"none": None, "true": True, "false": False}[text.lower()])
            else:
                raise NotUnderstood(f"{text!r} in it")
            self._accept(",")
        return found

    def _next(self) -> tuple[str, str]:
        if self._at == len(self._tokens):
            raise NotUnderstood("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _take(self, kind: str) -> str:
        found, text = self._next()
        if found != kind:
            raise NotUnderstood(f"{text!r} in it")
        return text

    def _accept(self, *marks: str) -> str:
        if self._at < len(self._tokens):
            kind, text = self._tokens[self._at]
            if kind == "mark" and text in marks:
                self._at += 1
                return text
        return ""

    def _expect(self, mark: str) -> list[Any]:
        if not self._accept(mark):
            raise NotUnderstood(f"no {mark!r} where one is needed")
        return []


def _look_up(value: Any, path: list[str | int]) -> Any:
    for step in path:
        try:
            value = value[step]
        except (LookupError, TypeError):
            return None
    return value


def _number(value: Any) -> float | None:
    """Return the number that a value is or says, None where there is none."""
    if isinstance(value, str):
        value = value.strip()
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _compute(mark: str, left: Evaluate, right: Evaluate) -> Evaluate:
    def compute(payload: Payload) -> float | None:
        a, b = _number(left(payload)), _number(right(payload))
        if a is None or b is None or (mark == "/" and b == 0):
            return None
        match mark:
            case "*":
                return a * b
            case "/":
                return a / b
            case "+":
                return a + b
            case _:
                return a - b

    return compute


def _filter(name: str, inner: Evaluate, arguments: list[Any]) -> Evaluate:
    """Return the filter ``name`` of Jinja or Home Assistant, applied to a value."""
    first = arguments[0] if arguments else None
    if name in ("is_defined", "string", "trim"):
        return inner
    if name == "default":
        return lambda payload: first if (value := inner(payload)) is None else value
    if name == "float":
        return lambda payload: first if (number := _number(inner(payload))) is None else number
    if name == "int":
        return lambda p: first if (number := _number(inner(p))) is None else float(int(number))
    if name == "abs":
        return lambda p: None if (number := _number(inner(p))) is None else abs(number)
    if name == "round" and isinstance(first, int | None) and len(arguments) <= 1:
        digits = min(first or 0, 15)
        return lambda p: None if (number := _number(inner(p))) is None else round(number, digits)
    raise NotUnderstood(f"the filter {name!r}")
