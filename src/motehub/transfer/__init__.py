"""Moving data: original databases in, exports out, and a history from one store to another."""
