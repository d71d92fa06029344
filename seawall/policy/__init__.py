"""Floor 1, policy: RFC 9111 for a shared cache as pure functions. No clock, no I/O, no log."""
