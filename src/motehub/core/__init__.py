"""The hub itself: admission, registry, journal, folding. No sockets, no SQL, no HTML."""
