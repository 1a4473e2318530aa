"""The stand-in for the platform's backend: it really uses PostgreSQL (a pool, a table) and Redis (a counter).

Crashes when what it needs at start is absent, and logs each failed connection attempt. A drill may set the Redis key
`drill:fail_after_s` before a restart: the next process, and only that one, answers /health with 503 from that many
seconds on.
"""

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
import psycopg_pool
import redis
import redis.backoff
import redis.retry
import standin
import startup

# The port that the platform's backend listens on.
PORT = 2000
# How long a request waits for a connection to the database, and how soon it tries again, in seconds.
LIMIT_S, PAUSE_S = 5, 0.5


def main() -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    print("backend: starting", flush=True)
    database, cache = os.environ["DATABASE_URL"], os.environ["REDIS_URL"]
    try:
        with psycopg.connect(database, connect_timeout=3, prepare_threshold=None) as connection:
            connection.execute(
                "create table if not exists reconciled (id bigserial primary key, at timestamptz default now())"
            )
    except psycopg.Error as error:
        standin.fail(database, error)
    # Whoever comes back after a restart is asked again at once: a connection of before is no failure of now.
    again = {"retry": redis.retry.Retry(redis.backoff.NoBackoff(), 1), "retry_on_error": [redis.ConnectionError]}
    counter = redis.Redis.from_url(cache, socket_timeout=3, **again)
    try:
        counter.ping()
    except redis.RedisError as error:
        standin.fail(cache, error)
    for variable in ("LOGSTASH_URL", "APM_SERVER_URL"):
        standin.require(os.environ.get(variable, ""))
    startup.wait("backend")
    limit = counter.getdel("drill:fail_after_s")
    # Transaction pooling allows no prepared statement that outlives its transaction in older poolers: none is made. After an
    # outage the next request connects, as pools of most languages do: this one would pause for up to minutes by itself.
    pool = psycopg_pool.ConnectionPool(
        database, min_size=2, max_size=10, reconnect_timeout=0, kwargs={"prepare_threshold": None}
    )
    fails_at = time.monotonic() + float(limit) if limit else None
    print("backend: ready", flush=True)
    standin.serve(PORT, lambda path: answer(path, pool, counter, fails_at))


def answer(path: str, pool: psycopg_pool.ConnectionPool, counter: redis.Redis, fails_at: float | None):
    try:
        if path == "/health":
            if fails_at is not None and time.monotonic() >= fails_at:
                return 503, {"status": "unhealthy", "reason": "drill"}
            with sound(pool) as connection:
                connection.execute("select 1")
            counter.ping()
            return {"status": "healthy"}
        if path == "/api/reconcile":
            with sound(pool) as connection:
                row = connection.execute("insert into reconciled default values returning id").fetchone()
            return {"id": row[0], "count": counter.incr("reconciled")}
    except (psycopg.Error, psycopg_pool.PoolTimeout, redis.RedisError) as error:
        print(f"connection attempt failed: {type(error).__name__}", flush=True)
        return 503, {"status": "unhealthy", "reason": type(error).__name__}
    return None


@contextmanager
def sound(pool: psycopg_pool.ConnectionPool) -> Iterator[psycopg.Connection]:
    """A connection that works. Those of before a restart of the database are given back at once, one after another: the
    pool's own check pauses between them (1 s, 2 s, ...), so that who comes first after load would get no answer in time.
    """
    end, given_back = time.monotonic() + LIMIT_S, 0
    while True:
        left = end - time.monotonic()
        if left <= 0:
            raise psycopg_pool.PoolTimeout(f"no connection in {LIMIT_S} s")
        try:
            # In slices: each of them has the pool connect anew where it has too few.
            connection = pool.getconn(timeout=min(PAUSE_S, left))
        except psycopg_pool.PoolTimeout:
            continue
        try:
            pool.check_connection(connection)
            break
        except psycopg.Error:
            pool.putconn(connection)
            given_back += 1
            if given_back > pool.max_size:
                time.sleep(min(PAUSE_S, left))  # new ones fail, too
    try:
        with connection:
            yield connection
    finally:
        pool.putconn(connection)


if __name__ == "__main__":
    main()
