"""The hub by name in the local network: what it announces by multicast DNS, and how."""
