"""The client's patience, against a server that refuses."""

import asyncio
from pathlib import Path

import pytest
from chaos.history import Answered, Journal
from chaos.load import Load

REFUSALS = {
    "304 at once": b"HTTP/1.1 304 Not Modified\r\n\r\n",
    "503": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
}


@pytest.mark.parametrize("refusal", REFUSALS.values(), ids=REFUSALS.keys())
def test_who_is_refused_at_once_asks_less_and_less_often(refusal: bytes, tmp_path: Path) -> None:
    asked = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal asked
        while await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            asked += 1
            writer.write(refusal)
        writer.close()

    async def main() -> None:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        journal = Journal(tmp_path / "history.jsonl", seed=1, lease_seconds=30)
        load = Load([server.sockets[0].getsockname()[1]], journal)
        queued = Answered(call=1, at=journal.now(), status=202, job_id="job", state="queued", version=1)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(load.until_ended("1-0", queued, 0), 1.5)
        await load.close()
        server.close()
        journal.close()
        await asyncio.sleep(0.05)  # for the server's end of the connection

    asyncio.run(main())
    assert 2 <= asked <= 6
