"""Mirrors: copies of the newest values in other servers, one file for each kind."""
