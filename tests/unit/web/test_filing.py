"""Bodies to deliveries, and receipts back to lines."""

from __future__ import annotations

from array import array
from collections.abc import Sequence

from motehub.model import (
    Clock,
    Delivery,
    Malformed,
    Receipt,
    RefusedRecord,
    Samples,
    Scope,
    Token,
)
from motehub.points import BadLine, Body, Column
from motehub.web.filing import LISTED, MOST_DEVICES, Filing, LineError, Outcome

TOKEN = Token("writer", b"", (Scope.WRITE,), (), 0)


def column(device: str | None, metric: str, *lines: int) -> Column:
    numbers = array("q", lines)
    samples = Samples(metric, "", numbers, array("d", lines), Clock.DEVICE)
    return Column(device, samples, array("I", lines))


def file(
    columns: Sequence[Column],
    bad: Sequence[BadLine] = (),
    token: Token = TOKEN,
    default: str | None = None,
    names: dict[str, str] | None = None,
    unlisted: int = 0,
) -> Filing:
    body = Body(list(columns), list(bad), 9, unlisted)
    return Filing(body, token, default, "http", "192.0.2.1", (names or {}).get)


def who(deliveries: Sequence[Delivery]) -> list[tuple[str, str, int]]:
    return [(d.source.identity, d.source.suggested_name, len(d.records)) for d in deliveries]


def test_each_device_gets_a_delivery() -> None:
    """Its columns and its bad lines together, in the order of the body."""
    filing = file(
        [column("a", "t", 1, 3), column("b", "t", 2), column("a", "h", 4)],
        [BadLine(5, b"?", "not a number", "a"), BadLine(6, b"??", "not JSON")],
    )
    assert who(filing.deliveries) == [("http:a", "a", 3), ("http:b", "b", 1), ("", "", 1)]
    assert all(d.source.vouched for d in filing.deliveries[:2])
    (nobodys,) = filing.deliveries[2].records
    assert nobodys == Malformed(b"??", "not JSON (line 6)")
    outcome = filing.outcome([Receipt(3, 1), Receipt(1, 0), Receipt(0, 1)])
    assert (outcome.stored, outcome.rejected) == (4, 2)
    assert outcome.errors == [LineError(5, "not a number"), LineError(6, "not JSON")]


def test_refused_readings_are_found_in_the_body() -> None:
    """The hub names record and position, the answer the line."""
    filing = file([column("a", "t", 1, 3, 5), column("a", "h", 2)])
    refused = (RefusedRecord(0, 1, "full"), RefusedRecord(1, 0, "no room"))
    outcome = filing.outcome([Receipt(1, 3, "full", refused)])
    assert outcome.errors == [LineError(2, "no room"), LineError(3, "full"), LineError(5, "full")]
    assert (outcome.stored, outcome.rejected, outcome.forbidden) == (1, 3, False)


def test_a_token_that_is_bound_writes_only_its_devices() -> None:
    """What is others' is rejected under nobody's name; a renamed device is still its own."""
    token = Token("board", b"", (Scope.WRITE,), ("glasshouse",), 0)
    filing = file(
        [column("greenhouse", "t", 1), column("cellar", "t", 2), column(None, "t", 3)],
        token=token,
        default="glasshouse",
        names={"http:greenhouse": "glasshouse"},
    )
    assert [name for name, _, _ in who(filing.deliveries)] == [
        "http:greenhouse",
        "http:glasshouse",
        "",
    ]
    outcome = filing.outcome([Receipt(1, 0), Receipt(1, 0), Receipt(0, 1)])
    assert outcome.forbidden
    assert outcome.errors == [LineError(2, "the token board may not write cellar")]


def test_readings_of_no_device_need_a_default() -> None:
    """Without one each line is rejected."""
    filing = file([column(None, "t", 1, 2)])
    assert who(filing.deliveries) == [("", "", 2)]
    assert filing.outcome([Receipt(0, 2)]).rejected == 2


def test_a_key_that_can_be_no_name_gets_one() -> None:
    """The identity has the exact key, the name what of it is allowed."""
    (delivery,) = file([column("room/1", "t", 1)]).deliveries
    assert delivery.source.identity == "http:room/1"
    assert delivery.source.suggested_name.startswith("room_1-")


def test_lines_that_are_only_counted_are_counted() -> None:
    """What the decoder did not list is in the count, of the hub's list too."""
    filing = file([], [BadLine(1, b"?", "bad")], unlisted=41)
    assert sum(r.count for r in filing.deliveries[0].records if isinstance(r, Malformed)) == 42
    assert filing.outcome([Receipt(0, 42)]).rejected == 42


def test_an_answer_names_a_bounded_number_of_lines() -> None:
    """Also over the parts of a stream."""
    bad = [BadLine(line, b"?", "bad") for line in range(1, LISTED + 50)]
    outcome = Outcome()
    for _ in range(3):
        outcome.add(file([], bad).outcome([Receipt(0, len(bad))]))
    assert len(outcome.errors) == LISTED
    assert outcome.rejected == 3 * len(bad)


def test_a_body_speaks_for_a_bounded_number_of_devices() -> None:
    """Lines of further ones are rejected with a reason; those of the first are all taken."""
    more = LISTED + 500
    columns = [column(f"d{n}", "t", n + 1) for n in range(MOST_DEVICES + more)]
    last = len(columns) + 1
    filing = file([*columns, column("d0", "h", last)])
    *devices, nobodys = filing.deliveries
    assert len(devices) == MOST_DEVICES
    assert len(devices[0].records) == 2
    assert len(nobodys.records) == LISTED + 1
    assert sum(r.count for r in nobodys.records if isinstance(r, Malformed)) == more
    receipts = [Receipt(len(one.records), 0) for one in devices]
    outcome = filing.outcome([*receipts, Receipt(0, more)])
    assert (outcome.stored, outcome.rejected, outcome.forbidden) == (MOST_DEVICES + 1, more, False)
    assert [one.line for one in outcome.errors] == [MOST_DEVICES + 1 + n for n in range(LISTED)]
    assert {one.reason for one in outcome.errors} == {
        f"{MOST_DEVICES} other devices are in the body before it"
    }


def test_of_many_forbidden_lines_the_first_are_named_and_the_others_counted() -> None:
    """In the answer and for the hub, whatever the order of their columns."""
    token = Token("board", b"", (Scope.WRITE,), ("attic",), 0)
    even, odd = range(2, 4 * LISTED, 2), range(1, 4 * LISTED, 2)
    count = len(even) + len(odd)
    filing = file([column("cellar", "t", *even), column("cellar", "h", *odd)], token=token)
    (nobodys,) = filing.deliveries
    assert len(nobodys.records) == LISTED + 1
    outcome = filing.outcome([Receipt(0, count)])
    assert outcome.forbidden
    assert outcome.rejected == count
    assert [one.line for one in outcome.errors] == list(range(1, LISTED + 1))
