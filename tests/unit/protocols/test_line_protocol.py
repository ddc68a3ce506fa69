"""The line protocol, against an encoder of our own and those of InfluxDB's clients."""

from __future__ import annotations

from collections import Counter
from typing import Any

import influxdb_client
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from influxdb.line_protocol import make_lines

from motehub.model import Clock, Samples, Texts
from motehub.points import Body
from motehub.protocols import _line_protocol_point as grammar
from motehub.protocols import line_protocol
from motehub.protocols.line_protocol import decode_points, multiplier

NOW = 1_795_215_909_000_000
STAMP = 1_790_000_000_123_456_789
TIME = STAMP // 1_000


def decode(text: str | bytes, precision: str = "ns") -> Body:
    data = text.encode() if isinstance(text, str) else text
    return decode_points(data, NOW, precision=precision)


def rows(body: Body) -> list[tuple[Any, ...]]:
    """Return all readings as (line, device, metric, time, value), in order."""
    found: list[tuple[Any, ...]] = []
    for column in body.columns:
        record = column.record
        assert isinstance(record, Texts) or record.unit == ""
        assert list(column.lines) == sorted(column.lines)
        for line, time, value in zip(column.lines, record.times, record.values, strict=True):
            dated = time if record.clock is Clock.DEVICE else None
            assert dated is not None or time == NOW
            found.append((line, column.device, record.metric, dated, value))
    return sorted(found, key=lambda row: (row[0], row[2]))


def reasons(body: Body) -> dict[int, str]:
    return {bad.line: bad.reason for bad in body.bad}


def check_counts(body: Body) -> None:
    """Every point is in columns or bad, and not in both."""
    taken = {line for column in body.columns for line in column.lines}
    listed = Counter(bad.line for bad in body.bad)
    assert not taken & listed.keys()
    assert max(listed.values(), default=1) == 1
    assert len(taken) + len(listed) + body.unlisted == body.lines
    assert len(
        {(c.device, c.record.metric, type(c.record), c.record.clock) for c in body.columns}
    ) == (len(body.columns))


def test_a_point_of_the_specification() -> None:
    """Measurement and field name the metric, other tags tell series apart, ns become µs."""
    body = decode(f"weather,location=us-midwest,host=pi temperature=82,humidity=71i {STAMP}")
    assert rows(body) == [
        (1, "pi", "weather_humidity,location=us-midwest", TIME, 71),
        (1, "pi", "weather_temperature,location=us-midwest", TIME, 82),
    ]
    assert (body.bad, body.lines) == ([], 1)


@pytest.mark.parametrize(
    ("tags", "device", "rest"),
    [
        ("", None, ""),
        (",device=a,host=b", "a", ",host=b"),
        (",host=b,device=a", "a", ",host=b"),
        (",host=b", "b", ""),
        (",z=1,host=b,y=2", "b", ",y=2,z=1"),
        (",Device=a", None, ",Device=a"),
    ],
)
def test_whose_a_point_is(tags: str, device: str | None, rest: str) -> None:
    """The tag device says it, else the tag host, else the caller; the others are in the metric."""
    assert rows(decode(f"m{tags} f=1 {STAMP}")) == [(1, device, f"m_f{rest}", TIME, 1)]


def test_the_field_called_value() -> None:
    """A measurement with one field called value is called like the measurement."""
    assert rows(decode(f"temperature,host=a value=1 {STAMP}"))[0][2] == "temperature"


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1.0),
        ("-1.5", -1.5),
        ("1.", 1.0),
        (".5", 0.5),
        ("-.5", -0.5),
        ("1e3", 1000.0),
        ("1E+3", 1000.0),
        ("1.5e-3", 0.0015),
        ("+2", 2.0),
        ("007", 7.0),
        ("1i", 1.0),
        ("-12i", -12.0),
        ("9223372036854775807i", 2.0**63),
        ("18446744073709551615u", 2.0**64),
        ("0u", 0.0),
        *((text, 1.0) for text in ("t", "T", "true", "True", "TRUE")),
        *((text, 0.0) for text in ("f", "F", "false", "False", "FALSE")),
        ('"text"', "text"),
        ('""', ""),
        ('"a, b=c \\"d\\" \\\\ e\\f"', 'a, b=c "d" \\ e\\f'),
        ('"\\\\"', "\\"),
        ('"two\nlines"', "two\nlines"),
        ('"# no comment"', "# no comment"),
    ],
)
@pytest.mark.parametrize("behind", [f" {STAMP}", "", f",g=2 {STAMP}", " ", f"  {STAMP}  ", "\r"])
def test_values(text: str, value: float | str, behind: str) -> None:
    """Every way to write a value is understood, wherever it stands."""
    body = decode(f"m f={text}{behind}\nm f={text}{behind}")
    assert body.bad == []
    found = [row for row in rows(body) if row[2] == "m_f"]
    assert [row[4] for row in found] == [value] * 2
    assert [row[3] for row in found] == [TIME if str(STAMP) in behind else None] * 2


BAD_LINES = [
    ("m", "there are no fields at byte 1"),
    ("m ", "there are no fields at byte 2"),
    ("m,a=b", "there are no fields at byte 5"),
    (",a=b f=1", "the measurement is missing at byte 0"),
    ("m, f=1", "a tag's key is missing at byte 2"),
    ("m,a f=1", "the tag 'a' has no value at byte 3"),
    ("m,a= f=1", "the value of the tag 'a' is missing at byte 4"),
    ("m,a=b=c f=1", "an unescaped '=' in the value of the tag 'a' at byte 5"),
    ("m,a=b,a=c f=1", "the tag 'a' for the second time at byte 6"),
    ("m f", "the field 'f' has no value at byte 3"),
    ("m =1", "a field's key is missing at byte 2"),
    ("m f=", "a field's value is missing at byte 4"),
    ("m f=,g=1", "a field's value is missing at byte 4"),
    ("m f=1,", "a field's key is missing at byte 6"),
    ("m f=1,f=2", "the field 'f' for the second time at byte 6"),
    ("m f=nan", "'nan' is not a finite number at byte 4"),
    ("m f=-Infinity 5", "'-Infinity' is not a finite number at byte 4"),
    ("m f=1e999 5", "'1e999' is too large for a double at byte 4"),
    ("m f=9223372036854775808i", "the integer '9223372036854775808i' does not fit in 64 bits"),
    ("m f=-1u", "the integer '-1u' does not fit in 64 bits at byte 4"),
    ("m f=1.5i", "'1.5i' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=+1i", "'+1i' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=1_000 5", "'1_000' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=1_0i 5", "'1_0i' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=١ 5", "'١' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=\t1 5", "'\\t1' is not a number, boolean or text in double quotes at byte 4"),
    ("m f=yes", "'yes' is not a number, boolean or text in double quotes at byte 4"),
    ("ä f=x", "'x' is not a number, boolean or text in double quotes at byte 5"),
    ('m f="a', "a quote is not closed at byte 4"),
    ('m f="a\\" 5', "a quote is not closed at byte 4"),
    ('m f="a"b 5', "a comma, a space or the end of the line expected at byte 7"),
    ("m f=1 x", "'x' is not a timestamp, which is an integer at byte 6"),
    ("m f=1 1.5", "'1.5' is not a timestamp, which is an integer at byte 6"),
    ("m f=1 +5", "'+5' is not a timestamp, which is an integer at byte 6"),
    ("m f=1 1_0", "'1_0' is not a timestamp, which is an integer at byte 6"),
    ("m f=1 5 6", "more text behind the timestamp at byte 8"),
    (
        "m f=1 9223372036854776000",
        "the timestamp 9223372036854776000 is not between 1677 and 2262; check the precision"
        " at byte 6",
    ),
    ("m" * 127 + " f=1 5", "is longer than 128 bytes at byte 128"),
    ("m\x01 f=1 5", "the metric 'm\\x01_f' can't be printed at byte 3"),
    ("m,host=a\x01 f=1 5", "the device's name can't be printed at byte 0"),
    ("m,host=" + "a" * 129 + " f=1 5", "the device's name is longer than 128 bytes at byte 0"),
    (r"m\ f=1 5", "the field '5' has no value at byte 8"),
    (r"m f\=1 5", "the field 'f=1' has no value at byte 6"),
    ("m f=1,g=x 5", "'x' is not a number, boolean or text in double quotes at byte 8"),
    ("m f=1" + "0" * 300 + "i 5", "is not a number, boolean or text in double quotes at byte 4"),
    ("m f=1" + "0" * 400, "the value of a field is longer than 400 characters at byte 4"),
    ("m f=0." + "0" * 399, "the value of a field is longer than 400 characters at byte 4"),
    ("m f=" + "1" * 65_536 + "x", "the value of a field is longer than 400 characters at byte 4"),
    ("m " + "f" * 900 + ",f=1", "has no value at byte 902"),
    ("m " + "\\," * 9000 + "=1", "a field's key is longer than 999 characters at byte 2"),
    ("\\" * 9000, "the measurement is longer than 999 characters at byte 0"),
    ("m,a=" + "b" * 9000 + " f=1", "the tag 'a' is longer than 999 characters at byte 4"),
    ("m f=1 1" + "0" * 39, "is not a timestamp, which is an integer at byte 6"),
    ("m f=1 -" + "0" * 40, "is not a timestamp, which is an integer at byte 6"),
    ("m f=1 1" + "0" * 400, "the timestamp is longer than 400 characters at byte 6"),
]


@pytest.mark.parametrize(("line", "reason"), BAD_LINES)
def test_a_bad_line_costs_no_other(line: str, reason: str) -> None:
    """What is wrong is said with its place; the lines around it are taken."""
    good = f"m f=1 {STAMP}"
    body = decode(f"{good}\n{good}\n{line}")
    assert reasons(body).keys() == {3}
    assert reason in reasons(body)[3]
    assert [row[0] for row in rows(body)] == [1, 2]
    check_counts(body)
    if "quote is not" not in reason:
        body = decode(f"{line}\n{good}\n# note\n\n{good}")
        assert reason in reasons(body)[1]
        assert [row[0] for row in rows(body)] == [2, 5]
        assert body.lines == 3


def test_nothing_of_a_bad_point_is_taken() -> None:
    """A point is taken with all its fields or not at all."""
    body = decode(f"m,host=a f=1,g=2,h=x {STAMP}\nm,host=a f=1 {STAMP}")
    assert [row[:3] for row in rows(body)] == [(2, "a", "m_f")]
    assert body.bad[0].device == "a"


def test_bytes_that_are_no_text() -> None:
    """Bytes that are not UTF-8 cost only their line, and are shown as they came."""
    body = decode(b'm\xff f=1 5\nm f=1 5\nm f="\xff" 5\nm,host=\xff f=1 5\nm f=\xff 5')
    assert reasons(body).keys() == {1, 3, 4, 5}
    assert "bad UTF-8 in the text at byte 4" in reasons(body)[3]
    assert body.bad[0].payload == b"m\xff f=1 5"
    check_counts(body)


@pytest.mark.parametrize(
    "text", ["", "\n", "# m f=1 5", "#m f=1 5", " \t\n\r\n  # x\n#", '# "\n#"']
)
def test_no_points(text: str) -> None:
    """Blank lines and comments are no points."""
    assert decode(text) == Body([], [], 0)


def test_a_comment_with_a_quote() -> None:
    """A quote in a comment opens no text."""
    body = decode(f'# say ="hi\nm f=1 {STAMP}\nm f="x" {STAMP}')
    assert [row[0] for row in rows(body)] == [2, 3]


def test_lines_behind_a_text_of_several_lines() -> None:
    """A point is numbered by its first line, and the lines of a text count."""
    body = decode('m f="a\nb\nc" 5\nm f=1 5\nm f=x')
    assert [row[0] for row in rows(body)] == [1, 4]
    assert reasons(body).keys() == {5}
    assert body.lines == 3


@pytest.mark.parametrize(
    ("text", "device", "metric"),
    [
        (r"m\ a f=1", None, "m a_f"),
        (r"m\,a f=1", None, "m,a_f"),
        (r"m=a f=1", None, "m=a_f"),
        (r"m\=a f=1", None, r"m\=a_f"),
        (r"m\a f=1", None, r"m\a_f"),
        (r"m\\,a=b f=1", None, r"m\,a=b_f"),
        (r"m,a\=b=c f=1", None, "m_f,a=b=c"),
        (r"m,a\ b=c\,d f=1", None, "m_f,a b=c,d"),
        (r"m,a\\=b=c f=1", None, r"m_f,a\=b=c"),
        (r"m f\\=g=1", None, r"m_f\=g"),
        (r"m,host=living\ room f=1", "living room", "m_f"),
        (r"m f\ g=1", None, "m_f g"),
        (r"m f\,g\=h=1", None, "m_f,g=h"),
        ('m,a="b" f=1', None, 'm_f,a="b"'),
        ('"m" f=1', None, '"m"_f'),
        ('m "f"=1', None, 'm_"f"'),
        ("m,host=a#b f=1", "a#b", "m_f"),
    ],
)
def test_escapes_in_names(text: str, device: str | None, metric: str | None) -> None:
    """A backslash escapes comma, space and, but for measurements, '='; quotes are characters."""
    body = decode(f"{text} {STAMP}\n{text} {STAMP}")
    check_counts(body)
    found = {(row[1], row[2]) for row in rows(body)}
    assert found == ({(device, metric)} if metric else set())


@pytest.mark.parametrize(
    ("precision", "stamp", "micros"),
    [
        ("ns", 1_999, 1),
        ("n", -1, -1),
        ("us", 7, 7),
        ("u", 7, 7),
        ("µ", 7, 7),
        ("μ", 7, 7),
        ("ms", -7, -7_000),
        ("s", 1_790_000_000, 1_790_000_000_000_000),
        ("m", 2, 120_000_000),
        ("h", 1, 3_600_000_000),
    ],
)
def test_precisions(precision: str, stamp: int, micros: int) -> None:
    """A timestamp is a number of the precision's units; what is finer than µs is cut off."""
    assert multiplier(precision)
    for text in (f"m f=1 {stamp}", f'm f=1 {stamp}\nm f="x" {stamp}'):
        assert {row[3] for row in rows(decode(text, precision))} == {micros}
    beyond = "1" + "0" * 19
    assert list(reasons(decode(f"m f=1 {beyond}\nm f=1 {stamp}", precision))) == [1]


def test_a_precision_that_there_is_not() -> None:
    """Who asks first never meets an exception."""
    assert multiplier("d") is None


def test_a_number_that_is_digits_at_length_is_looked_at_once() -> None:
    """An expression that tries every way to cut up digits would not end."""
    digits = "1" * 200_000
    for expression in (grammar._FLOAT, grammar._INTEGER, grammar._STAMP, grammar._PLAIN_PART):
        for end in ("x,", ".x,", "e1x,", "."):
            expression.fullmatch(digits + end)


@pytest.mark.parametrize("good", ["m f=1", 'm f="x"', "m\\ f=1 f=1"])
def test_a_body_with_too_many_bad_lines_is_given_up(good: str) -> None:
    """Behind 1,001 bad lines nothing is looked at, and every line is counted."""
    flood = f"{good}\n" + "x\n" * 1001
    for behind, lines in ((f"{good}\n" * 9, 9), (f"{good}\n\n{good}", 3), ("", 0), ("\n", 1)):
        body = decode(flood + behind)
        assert [row[0] for row in rows(body)] == [1]
        assert (len(body.bad), body.unlisted, body.lines) == (1000, 1 + lines, 1002 + lines)
        check_counts(body)
    body = decode("x\n" * 1000 + good)
    assert [row[0] for row in rows(body)] == [1001]
    assert body.unlisted == 0


def test_a_body_is_given_up_behind_all_of_a_point() -> None:
    """A point of several lines that is one bad line too many is one line."""
    body = decode("x\n" * 1000 + 'm f="\n\n"x\nm f=1\nm f=1\n')
    assert (body.columns, body.unlisted, body.lines) == ([], 3, 1003)


def test_a_long_body_is_numbered_through() -> None:
    """Where a long body is cut up for work means nothing."""
    lines = [f"m f={i}" if i % 7 else "" for i in range(30_000)]
    expected = [(i + 1, float(i)) for i in range(30_000) if i % 7]
    for end in ("", "\n"):
        for newline in ("\n", "\r\n"):
            body = decode(newline.join(lines) + end)
            assert [(row[0], row[4]) for row in rows(body)] == expected
            check_counts(body)


@pytest.mark.parametrize("line", ["m{} f=1", "m f{}=1 1", 'm{} f="x"', "m{}\\ f=1 f=1"])
def test_a_body_has_10_000_series_at_most(line: str) -> None:
    """Readings of further series are bad lines, those of the first ones still are taken."""
    lines = [line.format(i) for i in (*range(10_003), 5)]
    body = decode("\n".join(lines))
    assert len(body.columns) == 10_000
    assert {bad.reason for bad in body.bad} == {"more than 10,000 series in one body"}
    assert len(body.bad) == 3
    assert rows(body)[-1][0] == 10_004


def test_a_point_has_10_000_fields_at_most() -> None:
    """What can't all be series is not read to its end."""
    fields = ",".join(f"f{i}=1" for i in range(10_002))
    assert "more than 10,000 fields" in reasons(decode(f"m {fields},"))[1]


def test_points_that_take_long_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behind as many points with text as may be, the body is given up."""
    monkeypatch.setattr(line_protocol, "EXACT", 3)
    body = decode("m f=1\n" * 9 + 'm f="x"\n' * 9 + "m f=1\n")
    assert [row[0] for row in rows(body)] == list(range(1, 13))
    assert reasons(body) == {13: "more than 3 points with text, escapes or faults in one body"}
    assert (body.unlisted, body.lines) == (6, 19)
    check_counts(body)


def encode_name(name: str, special: str) -> str:
    return "".join(f"\\{c}" if c in special else c for c in name)


def encode_value(value: float | str) -> str:
    if isinstance(value, bool):
        return "true" if value else "F"
    if isinstance(value, int):
        return f"{value}i"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    return repr(value)


def encode(
    measurement: str, tags: dict[str, str], fields: dict[str, Any], stamp: int | None
) -> str:
    """Write a point as InfluxDB's documents say."""
    head = encode_name(measurement, ", ")
    head += "".join(f",{encode_name(k, ',= ')}={encode_name(v, ',= ')}" for k, v in tags.items())
    body = ",".join(f"{encode_name(k, ',= ')}={encode_value(v)}" for k, v in fields.items())
    return f"{head} {body}" + ("" if stamp is None else f" {stamp}")


# No backslash at a name's end: there is no way to write it. No '#' at the beginning: a comment.
names = st.text('ab,= "\\#ä', min_size=1, max_size=5).filter(
    lambda name: (
        not name.endswith("\\")
        and not name.startswith(("#", " "))
        and "\\=" not in name
        and "\\," not in name
        and "\\ " not in name
    )
)
plain_names = st.sampled_from(["a", "b", "temperature", "value"])
stamps = st.none() | st.integers(-(2**62), 2**62)
values = (
    st.floats(allow_nan=False, allow_infinity=False)
    | st.integers(-(2**63), 2**63 - 1)
    | st.booleans()
)


def points(names: st.SearchStrategy[str], values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Return points with these names and values."""
    tag_names = names | st.sampled_from(["host", "device"])
    return st.tuples(
        names,
        st.dictionaries(tag_names, names, max_size=3),
        st.dictionaries(names, values, min_size=1, max_size=3),
        stamps,
    )


plain_points = points(plain_names, values)
any_points = points(names, values | st.text('ab,= "\\\n\r#ä'))


@given(st.lists(plain_points | any_points), st.sampled_from(["\n", "\r\n", " \n", "\n\n"]))
@example([("#a", {}, {"b": 1}, None)], "\n")
def test_what_is_written_is_read(written: list[Any], end: str) -> None:
    """Every point that can be written is read, value for value."""
    body = decode("".join(encode(*point) + end for point in written if point[0][0] != "#"))
    assert body.bad == []
    written = [point for point in written if point[0][0] != "#"]
    assert body.lines == len(written)
    expected: list[tuple[Any, ...]] = []
    for measurement, tags, fields, stamp in written:
        owner = next((key for key in ("device", "host") if key in tags), None)
        rest = "".join(f",{k}={v}" for k, v in sorted(tags.items()) if k != owner)
        for key, value in fields.items():
            name = measurement if key == "value" else f"{measurement}_{key}"
            number = value if isinstance(value, str) else float(value)
            micros = None if stamp is None else stamp // 1_000
            expected.append((tags.get(owner or ""), name + rest, micros, number))
    assert Counter(row[1:] for row in rows(body)) == Counter(expected)
    check_counts(body)


@given(
    st.lists(
        plain_points.map(lambda point: encode(*point))
        | any_points.map(lambda point: encode(*point))
        | st.sampled_from([line for line, _ in BAD_LINES if len(line) < 200])
        | st.text('mf=,1i. "\\#\n\t\r_+-e5ä', max_size=20)
    )
)
def test_both_ways_agree(lines: list[str]) -> None:
    """What is taken quickly is what is read part by part."""
    text = "\n".join(lines)
    quick = decode(text)
    exact = line_protocol._Points(NOW, (1, 1_000)).take_exactly(text)
    assert rows(quick) == rows(exact)
    assert quick.bad == exact.bad
    assert quick.lines == exact.lines
    check_counts(quick)


@given(st.binary(max_size=200) | st.text('mf=,1i "\\#\n\t\r').map(str.encode))
def test_garbage(data: bytes) -> None:
    """Whatever a body holds, what leaves the decoder is columns and bad lines."""
    body = decode(data)
    check_counts(body)
    for column in body.columns:
        assert isinstance(column.record, Samples | Texts)
        assert column.record.metric.isprintable()
        assert 1 <= len(column.record.metric.encode()) <= grammar.NAME_BYTES
    for bad in body.bad:
        assert len(bad.payload) <= 200
        assert bad.reason.isprintable()


WHOLE = f'm,host=ä\\ b f=1.5,t="a\n\\"b" {STAMP}\nn,host=c value=2i {STAMP}\n'.encode()


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation(length: int) -> None:
    """A body that was cut off gives each complete point; the cut one is bad or shorter."""
    body = decode(WHOLE[:length])
    check_counts(body)
    first = WHOLE.index(b"\nn") + 1
    if length >= first:
        assert [row for row in rows(body) if row[0] == 1] == [
            row for row in rows(decode(WHOLE)) if row[0] == 1
        ]
    assert body.lines == (length > 0) + (length > first)


@given(any_points)
def test_the_client_of_influxdb_2(point: Any) -> None:
    """What influxdb-client writes is read as what it was given."""
    measurement, tags, fields, stamp = point
    client: Any = influxdb_client
    written = client.Point(measurement)
    for key, value in tags.items():
        written.tag(key, value)
    for key, value in fields.items():
        written.field(key, value)
    if stamp is not None:
        written.time(stamp)
    body = decode(written.to_line_protocol())
    assert rows(body) == rows(decode(encode(measurement, tags, fields, stamp)))
    assert body.bad == []


# The older client writes backslashes twice, '=' in a measurement as "\\=" and a newline as "\\n",
# all of which InfluxDB itself takes literally.
client_names = names.filter(lambda name: "\\" not in name and "=" not in name)


@given(points(client_names, values | st.text('ab,= "\\\r#ä')))
def test_the_client_of_influxdb_1(point: Any) -> None:
    """What the older influxdb package writes is read as what it was given."""
    measurement, tags, fields, stamp = point
    data = {"measurement": measurement, "tags": tags, "fields": fields, "time": stamp}
    body = decode(make_lines({"points": [data]}))
    assert rows(body) == rows(decode(encode(measurement, tags, fields, stamp)))
    assert body.bad == []
