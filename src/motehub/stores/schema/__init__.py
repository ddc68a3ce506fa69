"""Numbered schema scripts, one folder for each store."""
