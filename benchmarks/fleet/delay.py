"""A proxy on loopback that delays what it passes on: `python -m benchmarks.fleet.delay ROUND_TRIP_S '{"PORT": TO}'`."""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress

CHUNK = 1 << 16


async def passed(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, delay_s: float) -> None:
    """Hands everything on, each piece as long after it came as `delay_s` says, in order."""
    queue: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue()
    clock = asyncio.get_running_loop().time

    async def write() -> None:
        with suppress(OSError):
            while True:
                at, data = await queue.get()
                await asyncio.sleep(max(0.0, at - clock()))
                if not data:
                    break
                writer.write(data)
                await writer.drain()
            writer.close()

    task = asyncio.create_task(write())
    data = b"-"
    while data:
        try:
            data = await reader.read(CHUNK)
        except OSError:
            data = b""
        queue.put_nowait((clock() + delay_s, data))
    await task


async def main(delay_s: float, ports: dict[str, int]) -> None:
    """Listens on every port until the program is stopped."""

    def serving(to: int):  # type: ignore[no-untyped-def]
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            # A connection, too, takes a round trip before anything can be sent on it.
            await asyncio.sleep(2 * delay_s)
            with suppress(OSError):
                there, back = await asyncio.open_connection("127.0.0.1", to)
                await asyncio.gather(passed(reader, back, delay_s), passed(there, writer, delay_s))

        return serve

    servers = [await asyncio.start_server(serving(to), "127.0.0.1", int(port)) for port, to in ports.items()]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        asyncio.run(main(float(sys.argv[1]) / 2, json.loads(sys.argv[2])))
