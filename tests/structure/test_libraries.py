"""Third-party libraries stay where the design put them, and nothing is imported that is not declared."""

from __future__ import annotations

import re
import sys
import tomllib
from pathlib import Path

import pytest

from tests.structure.sources import PACKAGES, ROOT, imports, product

ANYWHERE = ("",)
ROLES = ("roles/", "edge/", "shield/", "console/", "simulator/")

# Top-level module -> where it may be imported, as the beginning of a path. What is not in this table may not
# be imported at all: adding a dependency means saying here whose it is.
LIBRARIES = {
    "multidict": ANYWHERE,
    # Floor 5 and up, and the purge feed: below, our own client and server speak HTTP.
    "aiohttp": (
        "seawall/admin/",
        "seawall/engine/",
        "seawall/purge/link.py",
        "origin_stub/",
        *ROLES,
    ),
    "uvloop": ("origin_stub/", *ROLES),
    "msgspec": ("seawall/config/", "seawall/admin/", "seawall/telemetry/", "seawall/purge/", "seawall/store/", *ROLES),
    "yaml": ("seawall/config/load.py",),
    "prometheus_client": ("seawall/telemetry/",),
    "diskcache": ("seawall/store/disk",),
    "redis": ("seawall/store/redis", "seawall/flight/lease", "seawall/purge/"),
    "typer": ("console/",),
    "click": ("console/",),  # typer's ground
    "rich": ("console/",),
}

# The module's name on the left, its distribution's on the right, where they differ.
DISTRIBUTIONS = {"yaml": "pyyaml", "prometheus_client": "prometheus-client", "click": "typer"}

# They run what they read: whoever can write to a cache would run code in it (CVE-2025-69872).
UNPICKLERS = frozenset({"pickle", "_pickle", "cPickle", "marshal", "shelve", "dill"})


def third_party(name: str) -> bool:
    top = name.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in PACKAGES


def misplaced(file: Path, name: str) -> bool:
    allowed = LIBRARIES.get(name.partition(".")[0], ())
    return third_party(name) and not file.as_posix().startswith(allowed or ("\0",))


@pytest.mark.parametrize(
    ("file", "name", "wrong"),
    [
        ("seawall/policy/decide.py", "multidict.CIMultiDict", False),
        ("seawall/policy/decide.py", "aiohttp.web", True),
        ("seawall/upstream/client.py", "aiohttp", True),
        ("seawall/admin/port.py", "aiohttp.web", False),
        ("seawall/config/load.py", "yaml", False),
        ("seawall/config/tree.py", "yaml", True),
        ("seawall/http/wire.py", "httptools", True),
        ("seawall/http/wire.py", "re", False),
        ("edge/node.py", "seawall.engine", False),
    ],
)
def test_the_rule_tells_right_from_wrong(file: str, name: str, wrong: bool) -> None:
    assert misplaced(Path(file), name) is wrong


def test_libraries_are_imported_only_where_the_design_put_them() -> None:
    found = [
        f"{file}:{line} imports {name}" for file in product() for line, name in imports(file) if misplaced(file, name)
    ]
    assert not found, "\n".join(found)


def test_every_library_that_is_imported_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    declared = {re.split(r"[^A-Za-z0-9_.-]", line, maxsplit=1)[0].lower() for line in project["dependencies"]}
    used = {name.partition(".")[0] for file in product() for _, name in imports(file) if third_party(name)}
    assert {DISTRIBUTIONS.get(name, name) for name in used} <= declared


def test_eviction_knows_nothing_of_ours_but_a_dict_in_parts() -> None:
    found = [
        f"{file}:{line} imports {name}"
        for file in product()
        if file.as_posix().startswith("seawall/store/eviction/")
        for line, name in imports(file)
        if name.partition(".")[0] in PACKAGES
        if not name.startswith(("seawall.store.eviction", "seawall.store.shards"))
    ]
    assert not found, "\n".join(found)


def test_nothing_unpickles() -> None:
    found = [
        f"{file}:{line} imports {name}"
        for file in product()
        for line, name in imports(file)
        if name.partition(".")[0] in UNPICKLERS
    ]
    assert not found, "\n".join(found)
