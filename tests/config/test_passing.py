"""A topology that was passed on is the one that was sent, to the last setting."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.config.flags import from_flags
from seawall.config.load import load, parse
from seawall.config.passing import decode, encode
from seawall.config.schema import Topology
from tests.config.test_load import CONTRACT
from tests.structure.sources import ROOT

PURGERS = "purge: {allow: [127.0.0.0/8, '2001:db8::/32'], secret: {env: X}}\n"
RULES = "routes: [{negative_ttl: {404: 1m, 5xx: 5s}, match: {host: a}, key: {query: {allow: [x]}}}]\n"
POOL = (
    "origins: {app: {urls: ['https://a', 'https://b:8443'], tls: {verify: false}, health: {path: /h}}}\n"
    "nodes: {x: {role: edge, listen: '[::1]:80', workers: 4, link: {latency: 40ms}, store: {disk: {size: 1GiB}}}}\n"
)


@pytest.mark.parametrize("text", [CONTRACT, POOL + PURGERS + RULES])
def test_what_a_file_says_arrives(text: str) -> None:
    sent = parse(text, "t.yaml")
    got = decode(Topology, encode(sent))
    assert got == sent
    assert repr(got) == repr(sent), "the very types too: a StrEnum equals its word, a float its whole number"
    assert (got.source.file, got.source.spots) == (sent.source.file, sent.source.spots)


@pytest.mark.parametrize("file", sorted((ROOT / "configs").glob("*.yaml")), ids=lambda file: file.name)
def test_our_own_files_arrive(file: Path) -> None:
    sent = load(file)
    assert repr(decode(Topology, encode(sent))) == repr(sent)


def test_what_flags_say_arrives() -> None:
    sent = from_flags("http://a", "127.0.0.1:0", None, "/d", "n", 2)
    assert repr(decode(Topology, encode(sent))) == repr(sent)
