"""Floor 2, configuration: the topology file as a typed tree, checked whole before anything starts.

`load.load` reads a file, `flags.from_flags` builds the same tree from a command line. Each setting is declared once,
in `schema`.
"""
