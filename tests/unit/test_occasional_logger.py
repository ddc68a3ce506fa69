"""Log lines that strangers can cause at will are few, and say how many they stand for."""

from __future__ import annotations

from motehub.logs import Logger, OccasionalLogger


class Recorder(Logger):
    """Keeps what is logged."""

    def __init__(self) -> None:
        super().__init__("test")
        self.lines: list[tuple[str, dict[str, object]]] = []

    def _log(self, level: int, event: str, fields: dict[str, object]) -> None:
        self.lines.append((event, fields))


def test_an_event_is_logged_at_once_and_then_at_intervals() -> None:
    """The first line comes at once; those of the next ten seconds are counted in the one after."""
    now = [100.0]
    recorder = Recorder()
    occasional = OccasionalLogger(recorder, clock=lambda: now[0])
    for peer in range(500):
        occasional.info("refused", peer=peer)
        now[0] += 0.03
    assert recorder.lines == [
        ("refused", {"peer": 0}),
        ("refused", {"peer": 334, "left_out": 333}),
    ]


def test_each_kind_of_event_has_its_own_interval() -> None:
    """A flood of one kind hides no other."""
    recorder = Recorder()
    occasional = OccasionalLogger(recorder, clock=lambda: 5.0)
    occasional.info("one")
    occasional.info("one")
    occasional.warning("two")
    assert [event for event, _ in recorder.lines] == ["one", "two"]
