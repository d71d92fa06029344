"""Who has to leave: pure bookkeeping over opaque names and costs. Imports nothing of ours, holds no bodies.

`protocol` is what a level asks of a policy, `words` makes one by its word in the configuration; every policy
has a file of its own. What they have in common is said once, in `protocol`, and tested once, for all of them.
"""
