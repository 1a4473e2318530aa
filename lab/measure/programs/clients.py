"""Runs inside a container of the platform: COUNT clients connect to DATABASE_URL at the same moment, and each runs
TRANSACTIONS transactions. Prints one JSON document. A client whose connection is refused is not served, and does not
try again.
"""

import asyncio
import json
import os
import sys
import time

import psycopg

LIMIT_S = 60


async def client(begin: asyncio.Event, transactions: int, latencies: list[float], refusals: dict[str, int]) -> bool:
    await begin.wait()
    try:
        async with asyncio.timeout(LIMIT_S):
            start = time.monotonic()
            connection = await psycopg.AsyncConnection.connect(
                os.environ["DATABASE_URL"], autocommit=False, prepare_threshold=None, connect_timeout=LIMIT_S
            )
            async with connection:
                for _ in range(transactions):
                    await connection.execute("insert into reconciled default values")
                    await connection.commit()
                    now = time.monotonic()
                    # The first transaction's time includes the connection: that is what a caller waits for.
                    latencies.append(now - start)
                    start = now
        return True
    except (psycopg.Error, TimeoutError, OSError) as error:
        words = str(error).strip().splitlines()
        reason = (words[-1] if words else type(error).__name__).rpartition("FATAL:")[2].strip()
        refusals[reason] = refusals.get(reason, 0) + 1
        return False


async def main(count: int, transactions: int) -> None:
    begin, latencies, refusals = asyncio.Event(), [], {}
    with psycopg.connect(os.environ["DATABASE_URL"], prepare_threshold=None) as connection:
        query = (
            "select count(*) from pg_stat_activity where backend_type = 'client backend' and pid <> pg_backend_pid()"
        )
        others = connection.execute(query).fetchone()[0]
    tasks = [asyncio.create_task(client(begin, transactions, latencies, refusals)) for _ in range(count)]
    start = time.monotonic()
    begin.set()
    served = sum(await asyncio.gather(*tasks))
    found = {
        "clients": count, "served": served, "connected_before": others, "refusals": refusals,
        "seconds": time.monotonic() - start, "latencies": sorted(latencies),
    }  # fmt: skip
    print(json.dumps(found))


asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
