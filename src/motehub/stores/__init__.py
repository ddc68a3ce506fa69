"""History stores; each file is one."""
