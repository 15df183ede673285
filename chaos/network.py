"""The network between our processes and a server: a proxy in a process of its own, so that no load here slows it."""

import asyncio
import sys
from contextlib import suppress
from pathlib import Path
from typing import Literal

import uvloop

from chaos.proxy import Proxy

Order = Literal["cut", "stall", "half_open", "heal"]

_REPOSITORY = Path(__file__).parents[1]


class Network:
    """A proxy that is told what to do."""

    def __init__(self, host: str, target: int, port: int) -> None:
        self._arguments = (host, str(target), str(port))
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Start the proxy, and wait until it listens."""
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "chaos.network", *self._arguments),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            cwd=_REPOSITORY,
            start_new_session=True,  # Ctrl-C is this process's to act on
        )
        await self._answer()

    async def tell(self, order: Order) -> int:
        """Have an order done; returns to how many connections."""
        assert self._process is not None
        assert self._process.stdin is not None
        self._process.stdin.write(f"{order}\n".encode())
        return await self._answer()

    async def close(self) -> None:
        """End the proxy: its input ends, which it also does with this process."""
        if self._process is not None and self._process.stdin is not None:
            self._process.stdin.close()
            await self._process.wait()

    async def _answer(self) -> int:
        assert self._process is not None
        assert self._process.stdout is not None
        return int(await self._process.stdout.readline())


async def serve(host: str, target: int, port: int) -> None:
    """Run a proxy, and do what standard input says until it ends; answer each order with a number."""
    proxy = Proxy(host, target, listens_on=port)
    await proxy.start()
    print(0, flush=True)
    while order := (await asyncio.to_thread(sys.stdin.readline)).strip():
        connections = proxy.connections
        getattr(proxy, order)()
        print(connections, flush=True)
    await proxy.close()


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        uvloop.run(serve(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
