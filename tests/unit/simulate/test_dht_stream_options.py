"""What simulated boards print, and which options they refuse."""

import re
from pathlib import Path

import pytest

from motehub.errors import CertificateError, OwnerError
from motehub.simulate.dht_stream import DhtOptions, format_record, run


@pytest.mark.parametrize(
    ("humidity", "celsius", "text"),
    [
        (57.0, 24.1, "[7],57,24.1,75.38|"),
        (57.5, -3.2, "[7],57.5,-3.2,26.24|"),
        (1e-05, 0.0, "[7],1e-05,0,32|"),
        (float("nan"), float("inf"), "[7],nan,inf,inf|"),
        (1234567.0, 24.7, "[7],1.23457e+06,24.7,76.46|"),
    ],
)
def test_numbers_are_printed_as_a_cpp_stream_does(
    humidity: float, celsius: float, text: str
) -> None:
    """Six significant digits, no trailing zeros, two digits of exponent."""
    assert format_record(7, humidity, celsius) == text


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"devices": 0}, "0 devices can't be simulated"),
        ({"rate": 0.0}, "rate = 0.0 is out of range"),
        ({"rate": float("nan")}, "rate = nan is out of range"),
        ({"batch_seconds": 0.0}, "batch_seconds = 0.0 is out of range"),
        ({"truncate": 1.5}, "truncate = 1.5 is no probability"),
        ({"errors": -0.1}, "errors = -0.1 is no probability"),
        ({"duration": -1.0}, "duration = -1.0 is out of range"),
        ({"duration": float("nan")}, "duration = nan is out of range"),
        ({"rate": 1e6}, "more than 1,000,000 readings"),
        ({"source_addresses": ("192.0.2.1",)}, "can't connect from 192.0.2.1"),
    ],
)
async def test_options_out_of_range_are_sentences(change: dict[str, object], sentence: str) -> None:
    """They are told before anything connects."""
    good = {"host": "127.0.0.1", "port": 1}
    with pytest.raises(OwnerError, match=re.escape(sentence)):
        await run(DhtOptions(**good, **change))  # type: ignore[arg-type]


async def test_a_certificate_that_cant_be_used_is_named(tmp_path: Path) -> None:
    """A missing file and one without a certificate are told apart."""
    rubbish = tmp_path / "rubbish.pem"
    rubbish.write_text("rubbish")
    for ca, sentence in (
        (tmp_path / "no.pem", "Can't read the certificate"),
        (rubbish, "holds no certificate"),
    ):
        with pytest.raises(CertificateError, match=sentence):
            await run(DhtOptions(host="127.0.0.1", ca=ca))
