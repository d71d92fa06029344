"""One of several processes of a node: `python -m roles.worker FD`, started by the node's keeper and by nobody else.

A caching node like any other, but for what it inherited (post.py): it serves connections from sockets that the keeper
holds too, follows the orders under a name of its own, and is asked by its keeper only.

FD is its end of a socket that the keeper holds as long as it lives. On it comes the post; back go `ready`, or why it
could not start. When it comes to its end the keeper is gone, however it went, and the worker drains.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys

import uvloop

from roles.collector import tame
from roles.node import CachingNode, MakeFront, ReadyInfo
from roles.post import Post, take_post
from seawall.admin.tokenfile import Unsafe
from seawall.admin.view import NotReady
from seawall.config.problems import ConfigError
from seawall.telemetry import events

READY = b"ready\n"


def serve(control: socket.socket, front: MakeFront | None = None) -> int:
    """The life of a worker; its exit code."""
    try:
        post = take_post(control)
    except (EOFError, OSError):
        return 1
    events.setup(post.topology.log.format, post.topology.log.level, post.feed)
    tame()
    try:
        uvloop.run(_live(post, control, front))
    except (ConfigError, Unsafe, OSError) as error:
        _say(control, f"{getattr(error, 'strerror', None) or error}\n".encode("utf-8", "replace"))
        events.error("worker.failed", why=str(error))
        return 1
    return 0


async def _live(post: Post, control: socket.socket, front: MakeFront | None) -> None:
    def keeper_is_gone() -> None:
        loop.remove_reader(control)
        if isinstance(node.ready(), NotReady):
            os._exit(1)  # it was draining, and whoever ends a keeper that drains has no more patience
        os.kill(os.getpid(), signal.SIGTERM)

    def ready(info: ReadyInfo) -> None:
        # Not before: until the node listens to signals, SIGTERM would end it in the middle of what it opens.
        loop.add_reader(control, keeper_is_gone)
        _say(control, READY)

    loop = asyncio.get_running_loop()
    node = CachingNode(post.topology, post.node, post, front=front)
    await node.run(ready)


def _say(control: socket.socket, line: bytes) -> None:
    with contextlib.suppress(OSError):  # nobody is left to hear it
        control.sendall(line)


if __name__ == "__main__":
    sys.exit(serve(socket.socket(fileno=int(sys.argv[1]))))
