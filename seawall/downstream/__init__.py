"""Floor 4, the side of clients: our own strict HTTP/1.1 server connection. Knows no cache."""
