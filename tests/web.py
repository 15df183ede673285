"""A web server of the tests' own, that answers well or behaves in every bad way there is."""

import asyncio
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress

ROBOTS = b"User-agent: *\nDisallow: /private\n"


class Web:
    """Serves on loopback, and counts what it was asked for."""

    def __init__(self) -> None:
        self.asked = Counter[str]()
        self.heads: list[str] = []
        self.busy = Counter[str]()  # how many requests of each host name are under way
        self.most_busy = Counter[str]()
        self._loop = asyncio.new_event_loop()
        self._server = self._loop.run_until_complete(asyncio.start_server(self._serve, "127.0.0.1", 0))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._server.close()
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            path = head.split(" ", 2)[1]
            host = next(line for line in head.splitlines() if line.lower().startswith("host:"))
            self.asked[path] += 1
            self.heads.append(head)
            self.busy[host] += 1
            self.most_busy[host] = max(self.most_busy[host], self.busy[host])
            try:
                await self._answer(path, self.asked[path], writer)
                await writer.drain()
            finally:
                self.busy[host] -= 1
                writer.close()

    async def _answer(self, path: str, times: int, writer: asyncio.StreamWriter) -> None:  # noqa: C901 - a case a path
        name, _, argument = path.strip("/").partition("/")
        match name:
            case "robots.txt":
                _write(writer, 200, ROBOTS)
            case "status":
                _write(writer, int(argument), b"as asked")
            case "slow":
                await asyncio.sleep(float(argument))
                _write(writer, 200, b"at last")
            case "flaky":  # fails until it was asked so often
                _write(writer, 200 if times > int(argument) else 503, b"well", "Retry-After: 0\r\n")
            case "redirect":
                _write(writer, 302, b"", f"Location: /{argument}\r\n")
            case "turns-inside":
                _write(writer, 302, b"", f"Location: http://{argument}/\r\n")
            case "round":
                _write(writer, 302, b"", "Location: /round\r\n")
            case "large":
                _write(writer, 200, b"x" * int(argument))
            case "reset":
                writer.transport.abort()
            case "silent":
                await asyncio.sleep(3600)
            case "dribble":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                while True:
                    writer.write(b"x")
                    await writer.drain()
                    await asyncio.sleep(0.05)
            case "short":
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\ntoo little")
            case "garbage":
                writer.write(b"\x00\xff not HTTP at all\r\n\r\n")
            case "headers":
                writer.write(b"HTTP/1.1 200 OK\r\n")
                for number in range(100_000):
                    writer.write(b"X-Header-%d: %s\r\n" % (number, b"x" * 100))
                    await writer.drain()
            case "gzip":
                _write(writer, 200, b"\x1f\x8bnot really", "Content-Encoding: gzip\r\n")
            case _:
                _write(writer, 200, f"page {path}".encode(), "Content-Type: text/plain; charset=utf-8\r\n")


def _write(writer: asyncio.StreamWriter, status: int, body: bytes, headers: str = "") -> None:
    writer.write(f"HTTP/1.1 {status} Said\r\nContent-Length: {len(body)}\r\n{headers}\r\n".encode() + body)


@contextmanager
def serving() -> Iterator[Web]:
    """Serve for the length of a `with` block."""
    web = Web()
    try:
        yield web
    finally:
        web.close()
