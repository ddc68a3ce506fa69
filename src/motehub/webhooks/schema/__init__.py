"""Numbered scripts of the outbox's tables."""
