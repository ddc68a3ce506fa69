"""motehub: a self-hosted hub for home-made sensors and boards."""

__version__ = "0.1.0"
