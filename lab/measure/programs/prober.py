"""Runs in a container on the platform's network and asks each service ten times a second, until it is told to stop
(SIGTERM) or LIMIT seconds are over. Prints one JSON document: the longest time that each service gave no answer.

An answer is the service's own: any HTTP status but 502 to 504, or a protocol's first reply. So a service whose
dependency is away still counts as there.
"""

import asyncio
import json
import signal
import sys
import time

TICK_S = 0.1
PATIENCE_S = 1.0
# A PostgreSQL start-up message (protocol 3.0, user and database "prober"): whatever it answers, R or E, it is there;
# only E 57P03 says that it is still starting or stopping.
PAIRS = b"user\0prober\0database\0prober\0\0"
STARTUP = (len(PAIRS) + 8).to_bytes(4, "big") + (196608).to_bytes(4, "big") + PAIRS


def asks(kind: str, host: str, path: str) -> bytes:
    if kind == "postgres":
        return STARTUP
    if kind == "redis":
        return b"PING\r\n"
    return f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode()


def answered(kind: str, reply: bytes) -> bool:
    if kind == "postgres":
        return reply[:1] in (b"R", b"E") and b"57P03" not in reply
    if kind == "redis":
        return reply[:1] in (b"+", b"-") and b"LOADING" not in reply
    words = reply.split(b" ", 2)
    return (len(words) > 1 and words[1] not in (b"502", b"503", b"504")) or b"drill" in reply


class Target:
    def __init__(self, name: str, kind: str, port: int, path: str) -> None:
        self.name, self.kind, self.port, self.path = name, kind, port, path
        self.address: str | None = None
        self.last_ok: float | None = None
        self.longest, self.asked, self.failed = 0.0, 0, 0

    async def once(self) -> bool:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(PATIENCE_S):
                if self.address is None:
                    # A recreated container may have another address.
                    found = await loop.getaddrinfo(self.name, self.port)
                    self.address = str(found[0][4][0])
                reader, writer = await asyncio.open_connection(self.address, self.port)
                try:
                    writer.write(asks(self.kind, self.name, self.path))
                    reply = await reader.read(512)
                finally:
                    writer.close()
            good = answered(self.kind, reply)
        except (OSError, TimeoutError):
            good = False
        if not good:
            self.address = None
        return good

    async def run(self, over: asyncio.Event, limit_s: float) -> None:
        begin = time.monotonic()
        number = 0
        while not over.is_set() and time.monotonic() - begin < limit_s:
            good = await self.once()
            now = time.monotonic()
            self.asked += 1
            if good:
                if self.last_ok is not None:
                    self.longest = max(self.longest, now - self.last_ok)
                self.last_ok = now
            else:
                self.failed += 1
            number = max(number + 1, int((now - begin) / TICK_S))
            await asyncio.sleep(max(0.0, begin + number * TICK_S - time.monotonic()))
        if self.last_ok is not None:
            self.longest = max(self.longest, time.monotonic() - self.last_ok)


async def main(limit_s: float, words: list[str]) -> None:
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    targets = [Target(name, kind, int(port), path) for name, kind, port, path in (word.split("|") for word in words)]
    print("asking", flush=True)
    await asyncio.gather(*(target.run(over, limit_s) for target in targets))
    found = {each.name: {"longest_s": each.longest, "asked": each.asked, "failed": each.failed} for each in targets}
    print(json.dumps(found), flush=True)


asyncio.run(main(float(sys.argv[1]), sys.argv[2:]))
