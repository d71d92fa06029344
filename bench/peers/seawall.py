"""Seawall as `seawall serve --origin` runs it: every default as it is, the admin port with its metrics on.

Only what a scenario asks for itself differs: `--data`, with which responses are kept on disk too, or a topology file
with one setting, the size of the store where more is stored than the default holds, or the access log.
"""

from __future__ import annotations

import sys

from bench.peers.system import System

# What `store.memory.size` is by default; the others are given as much.
DEFAULT_STORAGE_BYTES = 256 << 20


class Seawall(System):
    name = "seawall"

    def start(self) -> None:
        setup = self.setup
        # What it keeps for its user goes with the run.
        state = {"XDG_STATE_HOME": str(setup.directory / "state")}
        serve = (sys.executable, "-m", "console.main", "serve")
        if setup.storage_bytes is None and not setup.access_log:
            self.run(
                *serve,
                f"--origin=http://127.0.0.1:{setup.origin_port}",
                f"--listen=127.0.0.1:{setup.port}",
                f"--admin=127.0.0.1:{setup.spare_port}",
                # With a directory of its user's it keeps responses there; without one in memory, as it does by default.
                *([f"--data={setup.directory / 'data'}"] if setup.disk else []),
                **state,
            )
            return
        file = setup.directory / "seawall.yaml"
        file.write_text(self._topology())
        self.run(*serve, f"--config={file}", **state)

    def _topology(self) -> str:
        setup = self.setup
        lines = [
            "version: 1",
            f"origins: {{app: {{url: 'http://127.0.0.1:{setup.origin_port}'}}}}",
            "nodes:",
            f"  edge: {{role: edge, listen: '127.0.0.1:{setup.port}', admin: '127.0.0.1:{setup.spare_port}', "
            f"data: '{setup.directory / 'data'}'}}",
        ]
        if setup.storage_bytes is not None:
            lines.append(f"store: {{memory: {{size: {setup.storage_bytes}}}}}")
        if setup.access_log:
            lines.append(f"access_log: {{path: '{setup.log_file}'}}")
        return "\n".join([*lines, ""])

    def memory_bytes(self) -> int:
        return sum(child.anonymous_bytes() for child in self.children)
