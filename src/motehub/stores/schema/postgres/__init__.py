"""Numbered schema scripts of the PostgreSQL history."""
