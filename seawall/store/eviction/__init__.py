"""Who has to leave: pure bookkeeping over opaque names and costs.

Holds no bodies, and imports nothing of ours but a dict in parts (store/shards.py), which knows nothing either.

`protocol` is what a level asks of a policy, `words` makes one by its word in the configuration; every policy has a file
of its own, and so has what names stand in: `rows`, `chain`, `dues`. What the policies have in common is said once, in
`protocol`, and tested once, for all of them.
"""
