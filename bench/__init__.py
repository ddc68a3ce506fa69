"""Measures motehub: its server beside others, in alternating rounds; see ``docs/bench.md``."""
