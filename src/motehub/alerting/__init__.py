"""Alerting: follows the journal, knows which alerts there are, and tells people."""
