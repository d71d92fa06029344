"""Floor 4, purge: orders, where they are written down, who has applied them, and what keeps that true.

Knows no sockets, no store and no flights: whoever wires it applies orders and carries messages.
"""
