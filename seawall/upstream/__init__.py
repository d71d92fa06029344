"""Floor 4, the side of origins and parents: our own strict HTTP/1.1 client. Knows no cache."""
