"""HTTP/1.1 over asyncio: keep-alive, JSON bodies, chunked answers. No more than a test server needs."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

_LARGEST = 32 << 20
_WORDS = {
    200: "OK",
    400: "Bad Request",
    404: "Not Found",
    413: "Payload Too Large",
    500: "Internal Server Error",
}


@dataclass
class Call:
    """One request as it came."""

    method: str
    path: str
    body: bytes

    def json(self) -> dict:
        """The body as an object; empty without one."""
        found = json.loads(self.body or b"{}")
        if not isinstance(found, dict):
            raise ValueError("the body has to be a JSON object")
        return found


@dataclass
class Answer:
    """Status and body; pieces of a stream are sent as they come."""

    status: int = 200
    body: bytes = b"{}"
    stream: AsyncIterator[bytes] | None = None


Handler = Callable[[Call], Awaitable[Answer]]


async def serve(handler: Handler, host: str, port: int) -> asyncio.Server:
    """Listen; the server runs until it is closed."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while call := await _read(reader):
                try:
                    answer = await handler(call)
                except (ValueError, KeyError, TypeError) as exc:
                    answer = Answer(400, json.dumps({"error": {"message": str(exc)}}).encode())
                await _write(writer, answer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    return await asyncio.start_server(connection, host, port, limit=1 << 20)


async def _read(reader: asyncio.StreamReader) -> Call | None:
    line = await reader.readline()
    if not line:
        return None
    method, path, _ = line.decode("latin-1").split(" ", 2)
    length = 0
    while (header := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = header.partition(":")
        if name.lower() == "content-length":
            length = int(value)
    if length > _LARGEST:
        raise ConnectionError("too large")
    return Call(method, path.partition("?")[0], await reader.readexactly(length) if length else b"")


async def _write(writer: asyncio.StreamWriter, answer: Answer) -> None:
    word = _WORDS.get(answer.status, "")
    if answer.stream is None:
        head = f"HTTP/1.1 {answer.status} {word}\r\nContent-Type: application/json\r\nContent-Length: {len(answer.body)}\r\n\r\n"
        writer.write(head.encode() + answer.body)
        await writer.drain()
        return
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        async for piece in answer.stream:
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await writer.drain()
    finally:
        await answer.stream.aclose()
    writer.write(b"0\r\n\r\n")
    await writer.drain()
