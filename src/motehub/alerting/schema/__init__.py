"""Numbered scripts of the tables of alerts."""
