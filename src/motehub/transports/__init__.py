"""Transports: each file is one, named like its section of the configuration."""
