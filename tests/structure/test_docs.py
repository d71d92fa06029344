"""The documents point at files that are there, and say the commands that the Makefile has."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from seawall.config.load import parse
from tests.structure.sources import ROOT, repository

DOCUMENTS = [file for file in repository() if file.suffix == ".md"]
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)")
TOPOLOGY = re.compile(r"^```yaml\n(version: .*?)^```", re.MULTILINE | re.DOTALL)
COMMAND = re.compile(r"(?:\$ |`)make ([a-z][a-z-]*)")


def test_there_are_documents() -> None:
    assert Path("README.md") in DOCUMENTS


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_link_to_a_file_leads_somewhere(document: Path) -> None:
    links = LINK.findall((ROOT / document).read_text())
    assert [link for link in links if not (ROOT / document.parent / link).exists()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_every_make_command_exists(document: Path) -> None:
    targets = set(re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert set(COMMAND.findall((ROOT / document).read_text())) <= targets


def test_every_topology_in_the_documents_runs_in_this_version() -> None:
    found = [(document, text) for document in DOCUMENTS for text in TOPOLOGY.findall((ROOT / document).read_text())]
    assert Path("README.md") in [document for document, _ in found]
    for document, text in found:
        parse(text, str(document))  # raises with every problem in it
