"""docs/configuration.md, made from the declarations: `make docs` writes it, a test keeps it true."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import MISSING
from pathlib import Path
from typing import Any

from seawall.config.kinds import ListOf, Named, Section, default_of, settings
from seawall.config.schema import Topology

PAGE = Path("docs/configuration.md")

_HEAD = """\
# Configuration

<!-- Written by `make docs` from seawall/config/schema.py; change it there. -->

`seawall serve`, `up` and `check` read one YAML file. Unknown keys are errors, and so are keys that stand twice;
`seawall check FILE` lists everything that is wrong with its line and column. Durations are written
`500ms 10s 5m 1h 7d`, sizes `64KiB 256MiB 2GiB` or a plain number of bytes. Anchors, aliases and `<<` merges work.

```yaml
version: 1
origins:
  app: {url: "http://127.0.0.1:3000"}
routes:
  - match: {host: shop.example, path: /static/*}
    ttl: 1d
    stale_while_revalidate: 60s
  - match: {path: /account/*}
    cache: false
  - default_ttl: 10s
nodes:
  one: {role: edge, listen: "127.0.0.1:8080", admin: "127.0.0.1:8081"}
```
"""


def page() -> str:
    """The whole document."""
    return "\n".join([_HEAD, *_sections(Topology, "")])


def _sections(section: type[Any], path: str) -> Iterator[str]:
    rows = ["| key | value | default | meaning |", "|---|---|---|---|"]
    deeper: list[tuple[type[Any], str]] = []
    for name, (declared, item) in settings(section).items():
        inner = f"{path}.{name}".lstrip(".")
        kind, suffix = declared.kind, ""
        if isinstance(kind, ListOf) and isinstance(kind.kind, Section):
            kind, suffix = kind.kind, "[]"
        if isinstance(kind, Section):
            deeper.append((kind.of, inner + suffix))
        elif isinstance(kind, Named):
            deeper.append((kind.of, f"{inner}.NAME"))
        default = default_of(item)
        shown = "required" if default is MISSING else _shown(declared.kind, default)
        rows.append(f"| `{name}` | {_cell(declared.kind.expected)} | {shown} | {_cell(declared.says)} |")
    title = f"## `{path}`" if path else "## The file"
    yield "\n".join([title, "", (section.__doc__ or "").split("\n")[0], "", *rows, ""])
    for inner_section, inner_path in deeper:
        yield from _sections(inner_section, inner_path)


def _shown(kind: Any, default: Any) -> str:
    if default is None or isinstance(kind, Section | Named) or default == ():
        return "–"
    return f"`{kind.show(default)}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("*", "\\*")


def main() -> None:
    """Writes the page into the working directory."""
    PAGE.write_text(page(), encoding="utf-8")
    print(PAGE, file=sys.stderr)


if __name__ == "__main__":
    main()
