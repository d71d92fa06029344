"""Floor 4, stampede control: one fetch per key, however many ask. Knows nothing of HTTP or storage."""
