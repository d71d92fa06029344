"""Floor 6, a role: the node before the origin, which answers other nodes."""
