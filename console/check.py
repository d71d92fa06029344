"""`seawall check`: is the configuration valid?"""

from __future__ import annotations

from console import say
from console.exits import Exit
from seawall.config.load import load
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology


def check(file: str, *, json: bool) -> int:
    """Says what is wrong with a topology file, or that nothing is."""
    try:
        topology = load(file)
    except ConfigError as error:
        if json:
            wrong = [say.as_json(problem) for problem in error.problems]
            say.json_line({"file": file, "valid": False, "problems": wrong})
        else:
            say.problems(error)
        return Exit.USAGE
    if json:
        say.json_line({"file": file, "valid": True, "problems": []})
    else:
        say.line(f"{file}: valid; {_summary(topology)}")
    return Exit.DONE


def _summary(topology: Topology) -> str:
    counts = (("origin", topology.origins), ("route", topology.routes), ("node", topology.nodes))
    return ", ".join(f"{len(things)} {what}{'' if len(things) == 1 else 's'}" for what, things in counts)
