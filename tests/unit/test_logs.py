"""Log lines: one event a line, whatever a device puts into its fields."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from motehub.logs import Logger, set_up_logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where log lines go; the handlers of the test runner come back afterwards."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers.clear()
    written = io.StringIO()
    set_up_logs(written)
    yield written
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_time_level_event_and_fields(stream: io.StringIO) -> None:
    """Plain values stand as they are, others in quotes."""
    Logger("test").info("device seen", name="greenhouse", note="20 °C")
    line = stream.getvalue().split(maxsplit=1)[1]
    assert line == 'info event="device seen" logger=test name=greenhouse note="20 °C"\n'


@pytest.mark.parametrize("character", "\n\x1b\x7f\x85\x9b\u200b\u2028\u202e\ue000\U000e0041")
def test_what_cant_be_seen_is_escaped(stream: io.StringIO, character: str) -> None:
    """No device can begin a log line, or move the cursor of whoever reads it."""
    text = f"a{character}b"
    Logger("test").info("x", name=text)
    line = stream.getvalue()
    assert line.removesuffix("\n").isprintable()
    assert json.loads(line.partition("name=")[2]) == text
