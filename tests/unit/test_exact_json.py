"""JSON read exactly, against the standard library's decoder."""

from __future__ import annotations

import contextlib
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from motehub import exact_json
from motehub.exact_json import PAYLOAD_LIMIT, NotJson, Repeated

values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(values, st.booleans())
def test_what_is_written_is_read(value: object, ascii_only: bool) -> None:
    """Everything that Python writes is read back, NaN and Infinity too."""
    text = json.dumps(value, ensure_ascii=ascii_only)
    assert json.dumps(exact_json.decode(text.encode()), ensure_ascii=ascii_only) == text


@given(st.lists(values), st.sampled_from(["", " ", "\r\n\t"]))
def test_items_of_an_array(items: list[object], space: str) -> None:
    """Each item comes with the bytes that it was written with."""
    texts = [json.dumps(item) for item in items]
    body = "[" + f"{space},{space}".join(texts) + f"{space}]{space}"
    found = list(exact_json.decode_items(body.encode()))
    assert [piece for _, piece in found] == [text.encode()[:PAYLOAD_LIMIT] for text in texts]
    assert [json.dumps(item) for item, _ in found] == texts


@pytest.mark.parametrize("text", ['{"a": 1, "b": 2, "b": 3, "a": 4}', '{"b": 1, "\\u0062": 2}'])
def test_a_repeated_key(text: str) -> None:
    """An object says which of its keys comes twice, in whatever spelling."""
    found = exact_json.decode(text.encode())
    assert isinstance(found, Repeated)
    assert found.key == "b"


@pytest.mark.parametrize("digits", ["9" * 309, "9" * 9_000])
def test_integers_beyond_a_double(digits: str) -> None:
    """A number of any length costs no exception: it is infinite."""
    assert exact_json.decode(digits.encode()) == math.inf
    assert exact_json.decode(b"-" + digits.encode()) == -math.inf
    assert exact_json.decode(b"9" * 300) == int("9" * 300)


@given(st.binary() | st.text('{}[]":,\\ 0aeu').map(str.encode))
def test_garbage(data: bytes) -> None:
    """What is not JSON raises NotJson and nothing else, where the standard library fails too."""
    try:
        json.loads(data.decode())
    except ValueError:
        with pytest.raises(NotJson):
            exact_json.decode(data)
    else:
        exact_json.decode(data)
    with contextlib.suppress(NotJson):
        list(exact_json.decode_items(data))
