"""Floor 5, the engine: one request from arrival to reply. Knows no role, no file and no socket."""
