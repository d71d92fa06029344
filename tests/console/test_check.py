"""`seawall check` says whether a file is valid, to people and to machines."""

from __future__ import annotations

import json
from pathlib import Path

from tests.console.command import run
from tests.structure.sources import ROOT

WRONG = "origins:\n  app: {url: 'http://a'}\nroutes:\n  - stale_while_revalidat: 60s\n"


def test_the_demo_is_valid(tmp_path: Path) -> None:
    ended = run(tmp_path, "check", "configs/demo.yaml")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("configs/demo.yaml: valid; 1 origin, 0 routes, 4 nodes")


def test_a_mistake_has_its_place_and_the_nearest_key(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(WRONG)
    ended = run(tmp_path, "check", str(file))
    assert ended.returncode == 2
    assert ended.stderr == (
        f"{file}:4:5: routes[0].stale_while_revalidat: unknown key (did you mean stale_while_revalidate?)\n"
    )


def test_machines_get_the_same_as_json(tmp_path: Path) -> None:
    file = tmp_path / "t.yaml"
    file.write_text(WRONG)
    ended = run(tmp_path, "check", "--json", str(file))
    assert ended.returncode == 2
    said = json.loads(ended.stdout)
    assert said["valid"] is False
    assert [(problem["line"], problem["column"], problem["path"]) for problem in said["problems"]] == [
        (4, 5, "routes[0].stale_while_revalidat")
    ]
    assert json.loads(run(tmp_path, "check", "--json", "configs/demo.yaml").stdout)["valid"] is True


def test_a_missing_file_is_wrong_usage(tmp_path: Path) -> None:
    ended = run(tmp_path, "check", "nowhere.yaml")
    assert ended.returncode == 2
    assert ended.stderr == "nowhere.yaml: cannot be read: No such file or directory\n"


def test_every_file_in_configs_is_valid(tmp_path: Path) -> None:
    for file in sorted((ROOT / "configs").glob("*.yaml")):
        assert run(tmp_path, "check", str(file)).returncode == 0, file
