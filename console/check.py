"""`seawall check`: is the configuration valid?"""

from __future__ import annotations

from console import say
from console.exits import Exit
from seawall.config.availability import unavailable
from seawall.config.load import load
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology


def check(file: str, *, json: bool) -> int:
    """Says what is wrong with a topology file, or that nothing is; what this version cannot run yet is a note."""
    try:
        topology = load(file)
    except ConfigError as error:
        if json:
            wrong = [say.as_json(problem) for problem in error.problems]
            say.json_line({"file": file, "valid": False, "problems": wrong, "unavailable": []})
        else:
            say.problems(error)
        return Exit.USAGE
    notes = unavailable(topology)
    if json:
        later = [say.as_json(problem) for problem in notes]
        say.json_line({"file": file, "valid": True, "problems": [], "unavailable": later})
        return Exit.DONE
    say.line(f"{file}: valid; {_summary(topology)}")
    for note in notes:
        say.line(f"note: {note}")
    return Exit.DONE


def _summary(topology: Topology) -> str:
    counts = (("origin", topology.origins), ("route", topology.routes), ("node", topology.nodes))
    return ", ".join(f"{len(things)} {what}{'' if len(things) == 1 else 's'}" for what, things in counts)
