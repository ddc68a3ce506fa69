"""Pusher Channels, protocol 7: messages, names, signatures, and what an application knows."""
