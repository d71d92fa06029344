"""Floor 6, what the roles share: from a topology to a running node. Reads the tree so that nothing below has to."""
