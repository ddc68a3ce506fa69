"""Rows for people and for programs: what devices put into them does no harm."""

import csv
import io
import json
import os
import pty
import subprocess
import sys
import unicodedata

import pytest

from motehub.cli.options import Format
from motehub.cli.printing import print_json, print_rows, shown

HOSTILE = "a\x1b[2J\x07\n\r\x00\x7f\x9b31m\u202egnp\u200b\u2028\ue000\U000e0041z"


def invisible(text: str) -> list[str]:
    """Return the characters of ``text`` that a terminal obeys or that nobody sees."""
    kinds = {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    return [c for c in text if unicodedata.category(c) in kinds]


def test_what_cant_be_seen_is_shown_as_an_escape() -> None:
    """Controls, bidirectional and zero-width characters become text; everything else stays."""
    assert shown("\x1b\x9b\u202e\n\udcff\U000e0041") == r"\x1b\x9b\u202e\n\udcff\U000e0041"
    assert invisible(shown(HOSTILE)) == []
    for harmless in ("20 °C", "温度 厨房", "1\u00a0234", "😀", r"back\slash"):
        assert shown(harmless) == harmless


@pytest.mark.parametrize("format_", Format)
def test_no_format_lets_them_through(format_: Format, capsys: pytest.CaptureFixture[str]) -> None:
    """Table, CSV and JSON have one line for a hostile row, and nothing invisible in it."""
    print_rows(("device", "text"), [{"device": HOSTILE, "text": HOSTILE}], format_, "empty")
    printed = capsys.readouterr().out
    assert invisible(printed.replace("\n", "")) == []
    assert len(printed.splitlines()) == (6 if format_ is Format.JSON else 2)


def test_json_keeps_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Escapes are JSON's own: a program reads what the device sent."""
    print_json(json.dumps({"text": HOSTILE}, ensure_ascii=False).encode())
    assert json.loads(capsys.readouterr().out) == {"text": HOSTILE}


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ('=HYPERLINK("http://x/")', '\'=HYPERLINK("http://x/")'),
        ("+SUM(A1)", "'+SUM(A1)"),
        ("-1+1", "'-1+1"),
        ("@x", "'@x"),
        ("-5", "-5"),
        (-5.5, "-5.5"),
        ("on", "on"),
        ("a=b", "a=b"),
    ],
)
def test_no_formula_in_csv(value: object, cell: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A text that a spreadsheet would compute is marked as text; numbers stay numbers."""
    print_rows(("value",), [{"value": value}], Format.CSV, "empty")
    assert list(csv.reader(io.StringIO(capsys.readouterr().out))) == [["value"], [cell]]


def test_yes_and_no_are_no_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    """A person reads words, a program JSON's own; what is not known is empty."""
    rows = [{"online": one} for one in (True, False, None)]
    for format_ in (Format.TABLE, Format.CSV):
        print_rows(("online",), rows, format_, "empty")
    table, csv_ = capsys.readouterr().out.split("online", 2)[1:]
    assert table.split() == ["yes", "no"]
    assert csv_.split() == ["true", "false", '""']


def test_a_list_is_a_cell(capsys: pytest.CaptureFixture[str]) -> None:
    """Texts or numbers, with a space between: identities of a device, the range of a unit."""
    rows: list[dict[str, object]] = [
        {"of": ["mac:1", "b"]},
        {"of": [0.0, 1023.0]},
        {"of": [-0.5, 1e9]},
        {"of": []},
    ]
    print_rows(("of",), rows, Format.CSV, "empty")
    cells = [row[0] for row in csv.reader(io.StringIO(capsys.readouterr().out))]
    assert cells == ["of", "mac:1 b", "0 1023", "'-0.5 1000000000", ""]
    print_rows(("of",), rows, Format.TABLE, "empty")
    assert "0 1023" in capsys.readouterr().out


def test_csv_without_rows_has_its_header(capsys: pytest.CaptureFixture[str]) -> None:
    """A program finds the columns, also when nothing was found."""
    print_rows(("time", "value"), [], Format.CSV, "empty")
    assert capsys.readouterr().out == "time,value\n"


def test_a_narrow_terminal_loses_nothing() -> None:
    """In 80 columns a long payload is folded, not cut off with an ellipsis."""
    payload = "".join(chr(ord("a") + n % 26) for n in range(300))
    row = {"time": 0, "source": "2001:db8::1", "reason": "not a record", "payload": payload}
    program = (
        "from motehub.cli.options import Format; from motehub.cli.printing import print_rows;"
        f"row = {row!r}; print_rows(tuple(row), [row], Format.TABLE, '')"
    )
    terminal, inside = pty.openpty()
    environment = os.environ | {"COLUMNS": "80", "TERM": "dumb"}
    subprocess.run([sys.executable, "-c", program], stdout=inside, check=True, env=environment)
    os.close(inside)
    printed = b""
    while True:
        try:
            printed += os.read(terminal, 65536)
        except OSError:
            break
    os.close(terminal)
    lines = printed.decode().splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert "".join(line.split()[-1] for line in lines[1:]) == payload
