"""docs/configuration.md says what the declarations say, and its example works."""

from __future__ import annotations

import re

from seawall.config.document import PAGE, page
from seawall.config.load import parse
from tests.structure.sources import ROOT


def test_the_page_is_what_the_declarations_make() -> None:
    assert (ROOT / PAGE).read_text(encoding="utf-8") == page(), "run `make docs`"


def test_its_example_is_valid_and_runs() -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", page(), re.DOTALL)
    parse(example, "example.yaml")
