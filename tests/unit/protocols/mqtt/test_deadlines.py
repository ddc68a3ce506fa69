"""What is over when, for many keys."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from motehub.protocols.mqtt.deadlines import Deadlines

steps = st.lists(
    st.one_of(
        st.tuples(st.just("set"), st.integers(0, 5), st.integers(0, 50)),
        st.tuples(st.just("discard"), st.integers(0, 5), st.just(0)),
        st.tuples(st.just("take"), st.just(0), st.integers(0, 50)),
    ),
    max_size=300,
)


@given(steps)
def test_against_a_dictionary(steps: list[tuple[str, int, int]]) -> None:
    """Each key has the time that it was given last, and comes once."""
    deadlines: Deadlines[int] = Deadlines()
    model: dict[int, int] = {}
    for what, key, time in steps:
        if what == "set":
            deadlines.set(key, time)
            model[key] = time
        elif what == "discard":
            deadlines.discard(key)
            model.pop(key, None)
        else:
            taken = deadlines.take(time)
            assert sorted(taken) == sorted(one for one, due in model.items() if due <= time)
            assert [model[one] for one in taken] == sorted(model[one] for one in taken)
            for one in taken:
                del model[one]
        assert deadlines.next == min(model.values(), default=None)


def test_times_that_are_put_off_again_and_again_leave_nothing() -> None:
    """A client that comes and goes for a month takes no more room than one that is away."""
    deadlines: Deadlines[str] = Deadlines()
    for number in range(10_000):
        deadlines.set("c", 1_000_000 + number)
        if number % 3:
            deadlines.discard("c")
    assert len(deadlines._heap) < 100
