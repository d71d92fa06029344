"""Floor 6, a role: the node that clients talk to."""
