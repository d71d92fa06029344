"""Starting one node in this process: the one place where the command line meets the roles.

Imports a role only when a node of that role starts.
"""

from __future__ import annotations

import errno
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Protocol, assert_never

from console import say
from console.exits import Exit
from seawall.admin.tokenfile import Unsafe
from seawall.config.address import Address
from seawall.config.problems import ConfigError
from seawall.config.roles import Role
from seawall.config.schema import Node, Topology
from seawall.purge.ledger import JournalError

# Set by `up` for the processes it starts: their standard input is a pipe that only it holds open.
SUPERVISED = "SEAWALL_SUPERVISED"


class Listening(Protocol):
    """What a node says once it serves; addresses as host:port, with the ports it really got."""

    @property
    def node(self) -> str: ...
    @property
    def listen(self) -> str: ...
    @property
    def admin(self) -> str | None: ...


def run(topology: Topology, node: Node, *, json: bool) -> int:
    """Runs the node until it was told to stop; the exit code of the process."""
    if os.environ.get(SUPERVISED):
        end_with_supervisor()
    try:
        match node.role:
            case Role.EDGE:
                return _run_edge(topology, node, _announcer(json))
            case Role.ORIGIN_STUB:
                return _run_origin_stub(node, json)
            case Role.SHIELD:
                return _run_shield(topology, node, _announcer(json))
            case other:
                assert_never(other)
    except ConfigError as error:
        say.problems(error)
        return Exit.USAGE
    except JournalError as error:
        say.error(f"{node.name} cannot keep its purge journal: {error}")
        return Exit.FAILED
    except Unsafe as error:
        say.error(str(error))
        return Exit.FAILED
    except OSError as error:
        say.error(_explained(error, node))
        return Exit.FAILED


def _run_edge(topology: Topology, node: Node, on_ready: Callable[[Listening], None]) -> int:
    from edge.node import run_edge
    from seawall.telemetry import events

    events.setup(topology.log.format, topology.log.level, node.name)
    return run_edge(topology, node.name, on_ready=on_ready)


def _run_shield(topology: Topology, node: Node, on_ready: Callable[[Listening], None]) -> int:
    from seawall.telemetry import events
    from shield.node import run_shield

    events.setup(topology.log.format, topology.log.level, node.name)
    return run_shield(topology, node.name, on_ready=on_ready)


def _run_origin_stub(node: Node, json: bool) -> int:
    from origin_stub.main import main

    # The stub imports nothing of ours and reads sys.argv as the command `origin-stub` does.
    sys.argv = ["origin-stub", "--listen", str(node.listen), *(["--json"] if json else [])]
    try:
        main()
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else Exit.FAILED
    return Exit.DONE


def _announcer(json: bool) -> Callable[[Listening], None]:
    def announce(ready: Listening) -> None:
        if json:
            say.json_line({"event": "ready", "listen": ready.listen, "admin": ready.admin, "node": ready.node})
            return
        admin = f", admin on http://{ready.admin}" if ready.admin else ""
        say.line(f"{ready.node} serves on http://{ready.listen}{admin}")

    return announce


def _explained(error: OSError, node: Node) -> str:
    """Why a node could not start; a port that is taken is named, whichever it was."""
    if error.errno == errno.EADDRINUSE:
        for where in filter(None, (node.listen, node.admin)):
            if taken(where):
                return f"{where} is already in use; another process listens there"
    return f"{node.name} cannot start: {error.strerror or error}"


def taken(where: Address) -> bool:
    """Does somebody listen there already?"""
    family = socket.AF_INET6 if ":" in where.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((where.host, where.port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def end_with_supervisor() -> None:
    """Drains this process when the one that started it is gone, however it went: its end of the pipe closes."""

    def wait() -> None:
        # The bare descriptor: a thread that waits in sys.stdin would hold its lock while the interpreter ends.
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="supervisor-watch", daemon=True).start()
