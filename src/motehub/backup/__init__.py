"""Back-ups: everything of a hub's data folder, as of one moment, in one file."""
