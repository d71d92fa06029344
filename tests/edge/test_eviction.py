"""A node evicts as its file says."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from roles.node import CachingNode, ReadyInfo
from seawall.config.load import parse


@pytest.mark.parametrize(
    ("said", "word"), [("", "s3fifo"), (", eviction: tinylfu", "tinylfu"), (", eviction: noeviction", "noeviction")]
)
async def test_node_evicts_by_the_word_of_its_file(tmp_path: Path, said: str, word: str) -> None:
    text = (
        "origins: {app: {url: 'http://127.0.0.1:9'}}\n"
        f"nodes: {{one: {{role: edge, listen: '127.0.0.1:0', data: '{tmp_path}'}}}}\n"
        f"store: {{memory: {{size: 1MiB{said}}}}}\n"
    )
    node = CachingNode(parse(text, "t.yaml"), "one")
    ready: asyncio.Future[ReadyInfo] = asyncio.get_running_loop().create_future()
    running = asyncio.create_task(node.run(ready.set_result))
    async with asyncio.timeout(10):
        await ready
        assert repr(node._store.memory) == f"<MemoryStore 0 objects 0/1048576 bytes, {word}>"
        node._stop.set()
        await running
