"""The client of the load, against a server of a few lines that says what it is told to."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import pytest
from chaos.http import Client

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Server:
    """Answers `/NAME` with what is in `answers`, and counts connections; closes one after an empty answer."""

    def __init__(self, **answers: bytes) -> None:
        self.answers = answers
        self.requests: list[bytes] = []
        self.connections = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        while head := await reader.readuntil(b"\r\n\r\n"):
            length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
            self.requests.append(head + await reader.readexactly(length))
            answer = self.answers.get(head.split()[1].decode().strip("/"))
            if answer is None:
                continue  # never answered
            writer.write(answer)
            if not answer or b"close" in answer:
                break


@asynccontextmanager
async def client_of(server: Server) -> AsyncIterator[Client]:
    served: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        served.add(task)
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            await server.serve(reader, writer)
        writer.close()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    client = Client("127.0.0.1", listening.sockets[0].getsockname()[1])
    try:
        yield client
    finally:
        client.close()
        listening.close()
        await asyncio.sleep(0.05)  # for the last connections to be taken and closed
        await asyncio.gather(*served)
        await asyncio.sleep(0)


async def ask(client: Client, path: str, *, seconds: float = 5.0) -> tuple[int, bytes]:
    response = await client.request("GET", path, headers={}, seconds=seconds)
    return response.status, response.body


def test_a_request_is_sent_as_it_is_and_its_answer_taken_whole() -> None:
    async def main() -> None:
        head = b'HTTP/1.1 202 Accepted\r\nETag: "1"\r\nTransfer-Encoding: chunked\r\n\r\n'
        server = Server(chunks=head + b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
        async with client_of(server) as client:
            answer = await client.request("POST", "/chunks", headers={"Prefer": "wait=1"}, body=b"{}", seconds=5)
        assert (202, '"1"', b"abc") == (answer.status, answer.headers["etag"], answer.body)
        [request] = server.requests
        assert request.startswith(b"POST /chunks HTTP/1.1\r\n")
        assert b"Prefer: wait=1\r\n" in request
        assert request.endswith(b"\r\n\r\n{}")

    asyncio.run(main())


def test_a_connection_is_used_again_also_after_an_answer_without_a_body() -> None:
    async def main() -> None:
        server = Server(ok=OK, unchanged=b'HTTP/1.1 304 Not Modified\r\nETag: "1"\r\n\r\n')
        async with client_of(server) as client:
            assert (304, b"") == await ask(client, "/unchanged")
            assert (200, b"ok") == await ask(client, "/ok")
        assert 1 == server.connections

    asyncio.run(main())


def test_a_connection_that_the_server_ends_is_not() -> None:
    async def main() -> None:
        server = Server(ok=OK, last=b"HTTP/1.1 503 Away\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
        async with client_of(server) as client:
            assert (503, b"") == await ask(client, "/last")
            assert (200, b"ok") == await ask(client, "/ok")
        assert 2 == server.connections

    asyncio.run(main())


@pytest.mark.parametrize("path", ["/silence", "/end", "/half", "/noise"])
def test_no_whole_answer_in_time_is_an_error_and_the_next_request_is_answered(path: str) -> None:
    async def main() -> None:
        half = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 9\r\n\r\nhalf"
        server = Server(ok=OK, end=b"", half=half, noise=b"?!\r\n\r\n")
        async with client_of(server) as client:
            with pytest.raises(OSError):  # noqa: PT011 - whichever
                await ask(client, path, seconds=0.2)
            assert (200, b"ok") == await ask(client, "/ok")

    asyncio.run(main())


def test_where_nobody_listens_is_an_error() -> None:
    async def main() -> None:
        async with client_of(Server()) as client:
            pass
        with pytest.raises(OSError):  # noqa: PT011 - whichever
            await ask(client, "/ok")

    asyncio.run(main())


def test_many_requests_wait_at_once_and_delay_no_other() -> None:
    async def main() -> None:
        async with client_of(Server(ok=OK)) as client:
            waiting = [asyncio.create_task(ask(client, "/silence", seconds=30)) for _ in range(500)]
            assert (200, b"ok") == await ask(client, "/ok")
            for each in waiting:
                each.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)

    asyncio.run(main())
