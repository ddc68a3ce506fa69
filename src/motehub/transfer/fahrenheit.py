"""Degrees of the original HTTP system."""

from __future__ import annotations


def celsius(fahrenheit: float) -> float:
    """Return °C, rounded as for posts of the same sensor: so 71.96 °F are 22.2 °C."""
    return round((fahrenheit - 32) / 1.8, 9)
