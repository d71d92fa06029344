"""Who has to leave: pure bookkeeping over opaque names and costs. Imports nothing of ours, holds no bodies."""
