"""Alerts without I/O: what the owner wants to be told of, and when that is so."""
