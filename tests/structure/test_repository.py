"""What is committed works anywhere: it names no package registry's host and no path of one machine."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.structure.sources import ROOT, repository

TEXT_BYTES = 2_000_000  # nothing we write by hand is larger

# Which registry or mirror to use is the machine's own setting; a host in a lock file or script overrides it.
# (The character classes keep these lines from matching themselves.)
REGISTRIES = re.compile(
    r"registry[.][a-z0-9-]+[.][a-z]|npm[j]s[.]|yarnpkg[.]com|(?:test[.])?pypi[.]org|pythonhoste[d][.]org"
    r"|deb[.]debian[.]org|archive[.]ubuntu[.]com|--index-ur[l]|--extra-index-ur[l]|--registr[y]\b|/simpl[e]/"
)

# Directories of a developer's or a build machine's own.
MACHINES = re.compile(r"(?<![\w.])/(?:hom[e]/\w+|User[s]/\w+|roo[t]/|wor[k]/(?:main|shared)|tm[p]/lab)")

OURS = Path("tests/structure/test_repository.py")


def texts() -> list[tuple[Path, str]]:
    """Every committed text file with what it says."""
    read: list[tuple[Path, str]] = []
    for file in repository():
        content = (ROOT / file).read_bytes()
        if len(content) <= TEXT_BYTES and b"\0" not in content:
            read.append((file, content.decode("utf-8", "replace")))
    return read


def mentions(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{file}:{number}: {line.strip()[:120]}"
        for file, text in texts()
        if file != OURS
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


@pytest.mark.parametrize(
    ("pattern", "line", "wrong"),
    [
        (REGISTRIES, '"resolved": "https://registry.example.org/x.tgz"', True),
        (REGISTRIES, "pip install --index-url http://mirror/ x", True),
        (REGISTRIES, "npm install --registry=http://mirror/", True),
        (REGISTRIES, "installs the suite from npm", False),
        (MACHINES, "see /home/ann/seawall", True),
        (MACHINES, "cd /root/x", True),
        (MACHINES, "GET /homes/ HTTP/1.1", False),
        (MACHINES, "https://shop.example/home", False),
    ],
)
def test_the_rules_tell_right_from_wrong(pattern: re.Pattern[str], line: str, wrong: bool) -> None:
    assert bool(pattern.search(line)) is wrong


def test_the_repository_was_found() -> None:
    assert Path("pyproject.toml") in repository()


def test_nothing_committed_names_a_registry_host() -> None:
    assert mentions(REGISTRIES) == []


def test_nothing_committed_names_a_path_of_one_machine() -> None:
    assert mentions(MACHINES) == []
    here = str(ROOT)
    if ROOT.parts.__len__() > 2:  # a checkout directly under / has too short a name to tell
        assert mentions(re.compile(re.escape(here) + r"(?![\w-])")) == []


def test_the_lock_of_the_conformance_suite_pins_contents_and_no_host() -> None:
    lock = json.loads((ROOT / "tests/conformance/package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert "node_modules/http-cache-tests" in packages
    assert all("integrity" in package and "resolved" not in package for package in packages.values())
