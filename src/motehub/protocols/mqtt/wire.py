"""The data types of MQTT as bytes (§1.5): integers, variable byte integers, strings, binary."""

from __future__ import annotations

from typing import Final

from motehub.protocols.mqtt.reason_codes import ReasonCode

VARIABLE_LIMIT: Final = 268_435_455
"""Largest variable byte integer: four bytes of seven bits."""

STRING_LIMIT: Final = 65_535
"""Longest string or binary datum in bytes."""


class Refused(Exception):
    """Why a packet can't be accepted; it never leaves this package: readers return a Violation."""

    def __init__(self, reason_code: ReasonCode, text: str) -> None:
        super().__init__(text)
        self.reason_code = reason_code
        self.text = text


def malformed(text: str) -> Refused:
    """Return the refusal of bytes that can't be parsed."""
    return Refused(ReasonCode.MALFORMED_PACKET, text)


def protocol_error(text: str) -> Refused:
    """Return the refusal of something that parses and must not be there."""
    return Refused(ReasonCode.PROTOCOL_ERROR, text)


class Body:
    """Reads the fields of one packet, ``data[position:end]``, from left to right.

    Every method raises :class:`Refused` when the packet ends too early.
    """

    __slots__ = ("data", "end", "position")

    def __init__(self, data: bytes, position: int, end: int) -> None:
        self.data = data
        self.position = position
        self.end = end

    @property
    def left(self) -> int:
        """How many bytes have not been read."""
        return self.end - self.position

    def byte(self) -> int:
        """Read one byte."""
        return self.data[self._take(1)]

    def two_bytes(self) -> int:
        """Read a two byte integer."""
        at = self._take(2)
        return self.data[at] << 8 | self.data[at + 1]

    def four_bytes(self) -> int:
        """Read a four byte integer."""
        at = self._take(4)
        return int.from_bytes(self.data[at : at + 4], "big")

    def variable(self) -> int:
        """Read a variable byte integer of at most four bytes in its shortest form."""
        value = self.byte()
        if value < 0x80:
            return value
        value &= 0x7F
        for shift in (7, 14, 21):
            byte = self.byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                if not byte:
                    # [MQTT-1.5.5-1]
                    raise malformed("A variable byte integer is longer than it has to be.")
                return value
        raise malformed("A variable byte integer has more than four bytes (§1.5.5).")

    def binary(self) -> bytes:
        """Read binary data with its length in front."""
        # Without ``two_bytes`` and ``_take``: most of what properties are made of comes by here.
        data, at = self.data, self.position + 2
        if at <= self.end:
            stop = at + (data[at - 2] << 8 | data[at - 1])
            if stop <= self.end:
                self.position = stop
                return data[at:stop]
        raise malformed("The packet ends inside one of its fields.")

    def text(self) -> str:
        """Read a UTF-8 string.

        Control characters and non-characters, which a sender *should* not use, are accepted;
        a byte order mark stays in the string [MQTT-1.5.4-3].
        """
        try:
            text = self.binary().decode()
        except UnicodeDecodeError:
            # Surrogates and overlong forms are ill-formed too: [MQTT-1.5.4-1].
            raise malformed("A string is not well-formed UTF-8.") from None
        if "\0" in text:
            # [MQTT-1.5.4-2]
            raise malformed("A string contains the character U+0000.")
        return text

    def rest(self) -> bytes:
        """Read everything up to the end of the packet."""
        at = self._take(self.left)
        return self.data[at : self.end]

    def finish(self) -> None:
        """Check that the packet has no more bytes."""
        if self.left:
            raise malformed(f"The packet is {self.left} bytes longer than its content.")

    def _take(self, count: int) -> int:
        at = self.position
        if at + count > self.end:
            raise malformed("The packet ends inside one of its fields.")
        self.position = at + count
        return at


def variable_bytes(value: int) -> bytes:
    """Return ``value``, at most VARIABLE_LIMIT, as a variable byte integer."""
    if value < 0x80:
        return bytes((value,))
    if value > VARIABLE_LIMIT:
        raise ValueError(f"{value} is too large for a variable byte integer.")
    encoded = bytearray()
    while value > 0x7F:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def binary_bytes(value: bytes) -> bytes:
    """Return ``value``, at most STRING_LIMIT bytes, with its length in front.

    Raises:
        OverflowError: it is longer.
    """
    return len(value).to_bytes(2, "big") + value


def text_bytes(value: str) -> bytes:
    """Return ``value`` as a UTF-8 string with its length in front, like ``binary_bytes``."""
    return binary_bytes(value.encode())
