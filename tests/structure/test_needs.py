"""A test whose program is missing is left out loudly here, and fails in CI."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.needs import in_ci, program
from tests.structure.sources import ROOT

NEEDY = """
from tests.needs import program

def test_with_a_program_that_nobody_has():
    program("seawall-no-such-program")
"""


@pytest.mark.parametrize(("value", "expected"), [("true", True), ("1", True), ("false", False), ("", False)])
def test_ci_is_told_by_its_variable(monkeypatch: pytest.MonkeyPatch, value: str, expected: bool) -> None:
    monkeypatch.setenv("CI", value)
    assert in_ci() is expected


def test_the_first_program_that_is_installed_is_taken() -> None:
    assert Path(program("seawall-no-such-program", "sh")).name == "sh"


@pytest.mark.parametrize(
    ("ci", "code", "said"),
    [
        ("", 0, "LEFT OUT"),
        ("true", 1, "needs seawall-no-such-program, which is not installed here"),
    ],
)
def test_a_missing_program_is_loud_here_and_a_failure_in_ci(tmp_path: Path, ci: str, code: int, said: str) -> None:
    (tmp_path / "test_needy.py").write_text(NEEDY)
    command = [sys.executable, "-m", "pytest", "--rootdir", str(ROOT), "-c", str(ROOT / "pyproject.toml")]
    plugin = ["-p", "tests.conftest", "-p", "no:cacheprovider", str(tmp_path)]
    ended = subprocess.run(
        command + plugin, cwd=ROOT, env=os.environ | {"CI": ci}, capture_output=True, text=True, timeout=50, check=False
    )
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert said in ended.stdout
