"""Floor 0, words: messages, header grammar, dates, wire framing. No clock, no I/O, no log."""
