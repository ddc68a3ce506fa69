"""Webhooks: what the journal says goes to other servers, from an outbox of its own."""
