"""One of several processes of an edge: `python -m edge.worker FD`. As roles/worker.py, with the hot path."""

from __future__ import annotations

import socket
import sys

from edge.front import hot_path
from roles.worker import serve

if __name__ == "__main__":
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1])), hot_path))
