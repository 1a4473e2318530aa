"""Health checks of databases, caches and search engines by their own clients. Pure.

A password is read inside the container, never written into a check.
"""

from __future__ import annotations

from runbooks.steps.clients import Entry, connects, http, shell

POSTGRES = Entry(
    5432,
    (
        # Over TCP: the socket already answers while initdb is still at work. The names are read in the container.
        shell(
            'pg_isready -q -h 127.0.0.1 -p {port} -U "${POSTGRES_USER:-postgres}" -d "${POSTGRES_DB:-postgres}"',
            "PostgreSQL: pg_isready",
        ),
        *connects("PostgreSQL"),
    ),
    "60s",
)
POOLER = Entry(
    5432,
    (shell("pg_isready -q -h 127.0.0.1 -p {port}", "PgBouncer: answers pg_isready"), *connects("PgBouncer")),
    "10s",
)
REDIS = Entry(
    6379,
    (
        # redis-cli ends with 0 on NOAUTH, so the answer is read.
        shell(
            'REDISCLI_AUTH="$REDIS_PASSWORD" redis-cli -h 127.0.0.1 -p {port} ping | grep -q PONG',
            "Redis: redis-cli, REDISCLI_AUTH",
        ),
        shell(
            "redis-cli -h 127.0.0.1 -p {port} ping | grep -qE 'PONG|NOAUTH'", "Redis: answers, password not known here"
        ),
        *connects("Redis"),
    ),
    "30s",
)
VALKEY = Entry(
    6379,
    (
        shell(
            'REDISCLI_AUTH="$VALKEY_PASSWORD" valkey-cli -h 127.0.0.1 -p {port} ping | grep -q PONG',
            "Valkey: valkey-cli",
        ),
        *REDIS.checks,
    ),
)
MYSQL = Entry(
    3306,
    (
        shell(
            'MYSQL_PWD="$MYSQL_ROOT_PASSWORD" mysqladmin ping -h 127.0.0.1 -P {port} -u root --silent',
            "MySQL: mysqladmin ping over TCP",
        ),
        *connects("MySQL"),
    ),
    "60s",
)
MARIADB = Entry(
    3306,
    (
        shell(
            'MYSQL_PWD="${MARIADB_ROOT_PASSWORD:-$MYSQL_ROOT_PASSWORD}" mariadb-admin ping -h 127.0.0.1 -P {port} -u root --silent',
            "MariaDB: mariadb-admin ping",
        ),
        *MYSQL.checks,
    ),
    "60s",
)
MONGO = Entry(
    27017,
    (
        shell("mongosh --quiet --port {port} --eval 'quit(db.adminCommand({ping:1}).ok ? 0 : 1)'", "MongoDB: mongosh"),
        shell(
            "mongo --quiet --port {port} --eval 'quit(db.adminCommand({ping:1}).ok ? 0 : 1)'", "MongoDB before 5: mongo"
        ),
        *connects("MongoDB"),
    ),
    "40s",
)
ELASTICSEARCH = Entry(
    9200,
    (
        *http("/_cluster/health", "Elasticsearch: cluster health"),
        shell(
            "curl -ks -o /dev/null -w '%{http_code}' https://127.0.0.1:{port}/ | grep -qE '200|401'",
            "Elasticsearch 8: answers over TLS, password not known here",
        ),
    ),
    "90s",
)
OPENSEARCH = Entry(
    9200,
    (
        shell(
            "curl -fsS -o /dev/null http://127.0.0.1:{port}/_cluster/health || curl -ks -o /dev/null -w '%{http_code}' "
            "https://127.0.0.1:{port}/ | grep -qE '200|401'",
            "OpenSearch: cluster health, or that its security plugin answers",
        ),
        *connects("OpenSearch", "bash"),
    ),
    "90s",
)
