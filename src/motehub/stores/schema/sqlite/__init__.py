"""Numbered schema scripts of ``motehub.db``."""
