"""Floor 3, storage: levels that keep responses, and who has to leave when one is full."""
