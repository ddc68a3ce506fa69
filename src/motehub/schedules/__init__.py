"""Reports that the owner wants, and when they are due; no clock, no sockets, no SQL."""
