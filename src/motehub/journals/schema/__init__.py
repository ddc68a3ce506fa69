"""Numbered schema scripts of ``journal.db``."""
