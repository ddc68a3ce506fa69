"""``python -m motehub``."""

from motehub.cli import main

main()
