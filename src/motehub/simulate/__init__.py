"""Simulated devices: real network clients of every dialect, for demonstrations and load tests."""
