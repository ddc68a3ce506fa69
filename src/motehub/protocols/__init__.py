"""What devices speak. Bytes in, records out; no I/O, and time is an argument."""
