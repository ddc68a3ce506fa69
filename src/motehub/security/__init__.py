"""The hub's certificates: the authority that issues them, and TLS that serves them."""
