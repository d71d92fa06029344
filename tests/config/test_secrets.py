"""Secrets come from the environment or a file, are long enough, and never show."""

from __future__ import annotations

from pathlib import Path

import pytest

from seawall.config.load import parse
from seawall.config.problems import ConfigError
from seawall.config.schema import Topology
from seawall.config.secrets import read_secrets
from tests.config.test_load import LEAST

SECRET = "correct-horse-battery"


def topology(tokens: str) -> Topology:
    return parse(LEAST + f"admin: {{tokens: [{tokens}]}}\n", "t.yaml")


def test_a_secret_comes_from_the_environment_or_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(SECRET + "2\n")
    found = read_secrets(topology(f"{{name: a, env: A, may: [purge]}}, {{name: b, file: {file}}}"), {"A": SECRET})
    assert [(token.name, token.secret, set(token.may)) for token in found] == [
        ("a", SECRET, {"purge"}),
        ("b", SECRET + "2", {"read", "purge", "warm"}),
    ]
    assert SECRET not in repr(found)


@pytest.mark.parametrize(
    ("environ", "said"),
    [
        ({}, "A is not set"),
        ({"A": ""}, "0 characters"),
        ({"A": "short"}, "at least 16"),
        ({"A": SECRET + " x"}, "visible ASCII"),
        ({"A": SECRET + "é"}, "visible ASCII"),
    ],
)
def test_a_secret_that_cannot_be_had_is_a_problem_with_its_place(environ: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigError, match=said) as caught:
        read_secrets(topology("{name: a, env: A}"), environ)
    (problem,) = caught.value.problems
    assert (problem.path, problem.at.line) == ("admin.tokens[0].env", 3)
    assert SECRET not in str(problem)


@pytest.mark.parametrize("content", [None, b"", b"two\nlines-of-some-length\n", b"\xff" * 20])
def test_a_file_without_a_secret_is_a_problem(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigError, match=r"admin\.tokens\[0\]\.file"):
        read_secrets(topology(f"{{name: a, file: {file}}}"), {})
