"""`seawall up`: every node of a topology file as its own process here."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence

from console import say
from console.exits import Exit
from console.node import SUPERVISED
from console.supervisor import Died, Event, Output, Ready, StartFailed, Stopped, Supervisor, environment
from seawall.config.kinds import did_you_mean
from seawall.config.load import load
from seawall.config.problems import ConfigError
from seawall.config.roles import Role
from seawall.config.schema import Topology

# Six that can be told apart on dark and on light ground.
COLOURS = ("36", "33", "35", "32", "34", "31")
# A node may take its whole drain_timeout; then it has to write its logs and leave.
GRACE_SECONDS = 5.0


def up(file: str, only: str | None, *, json: bool) -> int:
    """Starts the nodes, waits until all serve, and keeps them until Ctrl-C."""
    try:
        topology = load(file)
        names = list(topology.nodes)
        chosen = names if only is None else [name.strip() for name in only.split(",")]
        unknown = [name for name in chosen if name not in names]
        if unknown or not chosen:
            hint = f" ({did_you_mean(unknown[0], names)})" if unknown and names else ""
            say.error(f"{file} has no node '{unknown[0]}'{hint}" if unknown else f"{file} has no nodes")
            return Exit.USAGE
    except ConfigError as error:
        say.problems(error)
        return Exit.USAGE
    return asyncio.run(_run(file, topology, list(dict.fromkeys(chosen)), json))


async def _run(file: str, topology: Topology, names: Sequence[str], json: bool) -> int:
    reporter: _Reporter = _JsonReporter(topology) if json else _TextReporter(topology, names)
    commands = {name: _command(file, name) for name in names}
    supervisor = Supervisor(commands, reporter.event, environment(**{SUPERVISED: "1"}))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, supervisor.stop)
    try:
        drain = topology.limits.drain_timeout + GRACE_SECONDS
        await supervisor.run(reporter.all_ready, drain_order(topology, names), drain)
    except StartFailed as failed:
        say.error(f"{failed}; everything is stopped again")
        return Exit.FAILED
    return Exit.DONE


def _command(file: str, name: str) -> list[str]:
    # -P: a directory called console where the user stands must not be imported instead of ours; but where this
    # very process got its modules from there, so must the child.
    here = os.getcwd() in sys.path or "" in sys.path
    program = [sys.executable, *([] if here else ["-P"]), "-m", "console.main"]
    return [*program, "serve", "--config", file, "--node", name, "--json"]


def drain_order(topology: Topology, names: Sequence[str]) -> list[list[str]]:
    """Who drains together: first whom nobody asks, last the origins, so that a drain breaks no request under way."""
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            children = [other for other in topology.nodes.values() if name in other.parents]
            depth[name] = 1 + max((measure(child.name) for child in children), default=-1)
        return depth[name]

    caching = [name for name in names if topology.nodes[name].role.caches]
    levels = sorted({measure(name) for name in caching})
    groups = [[name for name in caching if measure(name) == level] for level in levels]
    origins = [name for name in names if name not in caching]
    return [group for group in (*groups, origins) if group]


class _Reporter:
    """Says what happens; remembers where everybody listens."""

    def __init__(self, topology: Topology) -> None:
        self._topology = topology
        self._listening: dict[str, Mapping[str, object]] = {}

    def event(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._listening[event.name] = event.said
        self.say(event)

    def say(self, event: Event) -> None:
        raise NotImplementedError

    def all_ready(self) -> None:
        raise NotImplementedError

    def rows(self) -> list[tuple[str, str, str, str, int]]:
        """Name, role, where clients and where admins go, and how many processes serve them."""
        nodes = self._topology.nodes
        return [
            (name, nodes[name].role.value, str(said["listen"]), str(said.get("admin") or ""), nodes[name].workers)
            for name, said in self._listening.items()
        ]


class _JsonReporter(_Reporter):
    def say(self, event: Event) -> None:
        match event:
            case Ready(name, pid, said):
                fields = {"listen": said.get("listen"), "admin": said.get("admin"), "pid": pid}
                say.json_line({"event": "ready", "node": name, **fields})
            case Output(name, line):
                say.json_line({"event": "output", "node": name, "line": line})
            case Died(name, code, pause):
                say.json_line({"event": "died", "node": name, "code": code, "restart_in": pause})
            case Stopped(name, code):
                say.json_line({"event": "stopped", "node": name, "code": code})

    def all_ready(self) -> None:
        nodes = [
            {"node": name, "role": role, "listen": listen, "admin": admin or None, "workers": workers}
            for name, role, listen, admin, workers in self.rows()
        ]
        say.json_line({"event": "up", "nodes": nodes})


class _TextReporter(_Reporter):
    def __init__(self, topology: Topology, names: Sequence[str]) -> None:
        super().__init__(topology)
        self._width = max(map(len, names))
        self._colours = dict(zip(names, (COLOURS * len(names)), strict=False))
        self._colourful = say.on_terminal(sys.stdout) and not os.environ.get("NO_COLOR")
        self._all_up = False

    def say(self, event: Event) -> None:
        match event:
            case Ready(name, _, said):
                if self._all_up:
                    self._line(name, f"is back on {said.get('listen')}")
            case Output(name, line):
                self._line(name, line)
            case Died(name, code, pause):
                why = f"was ended by signal {-code}" if code < 0 else f"ended with exit code {code}"
                self._line(name, f"{why}; starting it again in {pause:g} s")
            case Stopped(name, code):
                self._line(name, "stopped" if code == 0 else f"stopped with {code}")

    def all_ready(self) -> None:
        self._all_up = True
        rows = sorted(self.rows(), key=lambda row: (row[1], row[0]))
        several = [row[4] for row in rows if row[4] > 1]
        heads = ("node", "role", "listens on", "admin", *(("workers",) if several else ()))
        say.table("", heads, [(*row[:4], *((str(row[4]),) if several else ())) for row in rows])
        entries = [row for row in rows if row[1] == Role.EDGE.value] or rows
        path = "/make/hello?size=1KiB&max-age=60&etag" if any(row[1] == Role.ORIGIN_STUB.value for row in rows) else "/"
        say.line(f"try: curl -i 'http://{entries[0][2]}{path}'")
        say.line("Ctrl-C drains and stops all of them")

    def _line(self, name: str, text: str) -> None:
        label = f"{name.ljust(self._width)} │"
        say.line(f"\x1b[{self._colours[name]}m{label}\x1b[0m {text}" if self._colourful else f"{label} {text}")
