"""Durable logs behind ``motehub.core.journal``."""
