"""The core knows no role: the names of the two roles are said above it, and in the file that people write.

What counts is code: identifiers, and strings that are not docstrings. Not counted: the configuration, whose
file format names the roles; `asyncio.shield`, which is not ours to name; prose, which may say who calls.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from tests.structure.sources import ROOT, product

# "EdgeRole", "edge_listen" and "is-edge" say it; "knowledge", "acknowledged" and "shielded" do not.
ROLE = re.compile(
    r"(?<![a-z])(?:edge|shield)s?(?![a-z])|(?<![A-Z])(?:Edge|Shield)s?(?![a-z])|(?<![A-Z])(?:EDGE|SHIELD)S?(?![A-Z])"
)


def roles_in(source: str) -> list[tuple[int, str]]:
    """Lines and names or strings of this module that say a role."""
    tree = ast.parse(source)
    prose = {
        node.value  # any string that stands alone: a docstring, of a module, class, function or attribute
        for node in ast.walk(tree)
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
    }
    said: list[tuple[int, str]] = []
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id="asyncio"), attr="shield"):
                words = []
            case ast.Name(id=word) | ast.Attribute(attr=word) | ast.arg(arg=word):
                words = [word]
            case ast.keyword(arg=str(word)):
                words = [word]
            case ast.FunctionDef(name=word) | ast.AsyncFunctionDef(name=word) | ast.ClassDef(name=word):
                words = [word]
            case ast.alias(name=word, asname=other):
                words = [word, other or ""]
            case ast.Constant(value=str(word)) if node not in prose:
                words = [word]
            case _:
                words = []
        said += [(getattr(node, "lineno", 0), word) for word in words if ROLE.search(word)]
    return said


@pytest.mark.parametrize(
    ("source", "says_it"),
    [
        ("edge = 1", True),
        ("def of_shield(): ...", True),
        ("class EdgeNode: ...", True),
        ("EDGES = 2", True),
        ("f(is_edge=True)", True),
        ("if role == 'shield': ...", True),
        ("x = f'{node} is an edge'", True),
        ("from edge import node", False),  # the module named in `from` is the import contracts' to judge
        ("import edge", True),
        ("'''Called by an edge, for one.'''", False),
        ("knowledge = acknowledged = 'hedged'", False),
        ("await asyncio.shield(task)", False),
        ("x.shield(task)", True),
    ],
)
def test_the_rule_tells_right_from_wrong(source: str, says_it: bool) -> None:
    assert bool(roles_in(source)) is says_it


def test_the_core_names_no_role() -> None:
    found = [
        f"{file}:{line}: {word!r}"
        for file in product()
        if file.parts[0] == "seawall" and file.parts[1] != "config"
        for line, word in roles_in((ROOT / file).read_text())
    ]
    assert not found, "\n".join(found)


def test_a_module_of_the_core_is_not_named_after_a_role() -> None:
    assert not [
        file for file in product() if file.parts[0] == "seawall" and ROLE.search(Path(*file.parts[1:]).as_posix())
    ]
