"""Health checks by image: what each image is known to answer, as candidates in order; only the live container decides.

`{port}` stands for the port, so that the proof can ask the same of a wrong one. A check never holds a secret: `$NAME` is
read inside the container. Sources are each project's own documentation of its health endpoint or client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

WRONG_PORT = 1
"""A port that nothing listens on in a container (tcpmux, unassigned in practice)."""


@dataclass(frozen=True)
class Check:
    """One candidate. `test` in Compose's exec form with `{port}`; `source` says where it is from."""

    test: tuple[str, ...]
    source: str

    def at(self, port: int) -> tuple[str, ...]:
        """The test for one port."""
        return tuple(word.replace("{port}", str(port)) for word in self.test)


@dataclass(frozen=True)
class Entry:
    """The candidates of an image, its usual port, and how long it usually takes to start (the `start_period`)."""

    port: int
    checks: tuple[Check, ...]
    start_period: str = "30s"


def shell(text: str, source: str) -> Check:
    return Check(("CMD-SHELL", text), source)


def http(path: str, source: str, *, scheme: str = "http") -> tuple[Check, ...]:
    """A GET by whatever client the image ships; `curl -f`, since curl alone calls a 500 a success."""
    url = f"{scheme}://127.0.0.1:{{port}}{path}"
    insecure = " -k" if scheme == "https" else ""
    return (
        shell(f"curl -fsS{insecure} -o /dev/null {url} || exit 1", source),
        shell(f"wget -q -O /dev/null{' --no-check-certificate' if insecure else ''} {url} || exit 1", source),
        *connects(source),
    )


def connects(source: str) -> tuple[Check, ...]:
    """Only that the port accepts: for images without an HTTP client, or without HTTP."""
    return (
        shell("nc -z 127.0.0.1 {port} || exit 1", source),
        Check(("CMD", "bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/{port}"), source),
    )


def runtime(*words: str) -> tuple[Check, ...]:
    """A GET / by a language's own interpreter, for images that have that and no HTTP client."""
    return (Check(("CMD", *words), "the runtime's own HTTP client"), *http("/", "by its declared port"))


NODE = runtime(
    "node", "-e", "fetch('http://127.0.0.1:{port}/').then(r=>process.exit(r.status<500?0:1)).catch(()=>process.exit(1))"
)
PYTHON = runtime(
    "python3",
    "-c",
    "import urllib.request,urllib.error\ntry: urllib.request.urlopen('http://127.0.0.1:{port}/',timeout=4)\nexcept urllib.error.HTTPError as e: raise SystemExit(e.code>=500)",
)
RUBY = runtime(
    "ruby", "-rnet/http", "-e", "exit Net::HTTP.get_response(URI('http://127.0.0.1:{port}/')).code.to_i < 500"
)
PHP = runtime("php", "-r", "exit(@fsockopen('127.0.0.1',{port})?0:1);")

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
ELASTICSEARCH = Entry(9200, http("/_cluster/health", "Elasticsearch: cluster health"), "90s")


def web(port: int, path: str, source: str, start_period: str = "30s") -> Entry:
    return Entry(port, http(path, source), start_period)


def port(number: int, source: str, *first: Check, start_period: str = "30s") -> Entry:
    return Entry(number, (*first, *connects(source)), start_period)


def _named(entry: Entry, *names: str) -> Iterable[tuple[str, Entry]]:
    return ((name, entry) for name in names)


ENTRIES: Mapping[str, Entry] = dict(
    [
        # databases
        *_named(POSTGRES, "postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector", "supabase-postgres"),
        *_named(POOLER, "pgbouncer"),
        *_named(MYSQL, "mysql", "mysql-server", "percona", "percona-server"),
        *_named(MARIADB, "mariadb", "mariadb-galera"),
        *_named(MONGO, "mongo", "mongodb", "mongodb-community-server"),
        ("cockroach", web(8080, "/health?ready=1", "CockroachDB: /health?ready=1", "60s")),
        ("clickhouse-server", web(8123, "/ping", "ClickHouse: /ping")),
        ("influxdb", web(8086, "/health", "InfluxDB 2: /health")),
        ("neo4j", web(7474, "/", "Neo4j: HTTP API", "60s")),
        ("couchdb", web(5984, "/_up", "CouchDB: /_up")),
        ("arangodb", port(8529, "ArangoDB")),
        ("cassandra", port(9042, "Cassandra", shell("cqlsh 127.0.0.1 {port} -e 'describe cluster' >/dev/null", "Cassandra: cqlsh"), start_period="120s")),
        ("scylla", port(9042, "ScyllaDB", start_period="120s")),
        ("questdb", web(9003, "/status", "QuestDB: health server")),
        ("rethinkdb", port(28015, "RethinkDB")),
        # caches
        *_named(REDIS, "redis", "redis-stack", "redis-stack-server", "keydb"),
        *_named(VALKEY, "valkey"),
        ("memcached", port(11211, "Memcached", shell("echo stats | nc -w 2 127.0.0.1 {port} | grep -q uptime", "Memcached: stats"))),
        ("dragonfly", REDIS),
        ("hazelcast", web(5701, "/hazelcast/health/ready", "Hazelcast: health check endpoint")),
        # queues
        *_named(port(5672, "RabbitMQ", start_period="60s"), "rabbitmq"),
        ("kafka", port(9092, "Kafka", start_period="60s")),
        ("cp-kafka", port(9092, "Kafka", start_period="60s")),
        ("redpanda", web(9644, "/v1/status/ready", "Redpanda: admin API")),
        ("zookeeper", port(2181, "ZooKeeper", shell("echo ruok | nc -w 2 127.0.0.1 {port} | grep -q imok", "ZooKeeper: ruok"))),
        ("cp-zookeeper", port(2181, "ZooKeeper")),
        ("nats", web(8222, "/healthz", "NATS: /healthz of the monitoring port")),
        ("activemq-artemis", web(8161, "/", "Artemis: console")),
        ("emqx", web(18083, "/status", "EMQX: /status")),
        ("eclipse-mosquitto", port(1883, "Mosquitto")),
        ("pulsar", web(8080, "/admin/v2/brokers/health", "Pulsar: broker health", "90s")),
        # proxies and web servers
        ("nginx", web(80, "/", "nginx")),
        ("nginx-unprivileged", web(8080, "/", "nginx")),
        ("httpd", web(80, "/", "Apache httpd")),
        ("caddy", web(2019, "/config/", "Caddy: admin API")),
        ("traefik", port(8080, "Traefik", shell("traefik healthcheck --ping --entryPoints.ping.address=:{port} --ping.entryPoint=ping", "Traefik: healthcheck"))),
        ("haproxy", port(80, "HAProxy")),
        ("envoy", web(9901, "/ready", "Envoy: admin /ready")),
        ("kong", port(8001, "Kong")),
        ("varnish", port(80, "Varnish")),
        ("tomcat", web(8080, "/", "Tomcat", "60s")),
        ("wordpress", web(80, "/wp-login.php", "WordPress", "60s")),
        ("nextcloud", web(80, "/status.php", "Nextcloud: /status.php", "60s")),
        ("ghost", web(2368, "/", "Ghost", "60s")),
        # search
        *_named(ELASTICSEARCH, "elasticsearch", "opensearch"),
        ("solr", web(8983, "/solr/admin/info/system", "Solr: system info", "60s")),
        ("meilisearch", web(7700, "/health", "Meilisearch: /health")),
        ("typesense", web(8108, "/health", "Typesense: /health")),
        ("qdrant", web(6333, "/readyz", "Qdrant: /readyz")),
        ("weaviate", web(8080, "/v1/.well-known/ready", "Weaviate: readiness")),
        # logs, metrics, traces
        ("logstash", web(9600, "/", "Logstash: node info API", "120s")),
        ("kibana", web(5601, "/api/status", "Kibana: /api/status", "120s")),
        ("apm-server", web(8200, "/", "APM Server: server information", "60s")),
        ("prometheus", web(9090, "/-/ready", "Prometheus: /-/ready")),
        ("alertmanager", web(9093, "/-/ready", "Alertmanager: /-/ready")),
        ("pushgateway", web(9091, "/-/ready", "Pushgateway: /-/ready")),
        ("node-exporter", web(9100, "/", "node_exporter: landing page")),
        ("cadvisor", web(8080, "/healthz", "cAdvisor: /healthz")),
        ("postgres-exporter", web(9187, "/", "postgres_exporter: landing page")),
        ("redis_exporter", web(9121, "/health", "redis_exporter: /health")),
        ("blackbox-exporter", web(9115, "/-/healthy", "blackbox_exporter: /-/healthy")),
        *_named(web(3000, "/api/health", "Grafana: /api/health", "60s"), "grafana", "grafana-oss", "grafana-enterprise"),
        ("loki", web(3100, "/ready", "Loki: /ready", "60s")),
        ("tempo", web(3200, "/ready", "Tempo: /ready", "60s")),
        ("promtail", web(9080, "/ready", "Promtail: /ready")),
        ("jaeger", web(14269, "/", "Jaeger: admin port")),
        ("all-in-one", web(14269, "/", "Jaeger: admin port")),
        ("zipkin", web(9411, "/health", "Zipkin: /health", "60s")),
        ("opentelemetry-collector-contrib", web(13133, "/", "OpenTelemetry Collector: health_check extension")),
        ("victoria-metrics", web(8428, "/health", "VictoriaMetrics: /health")),
        ("fluentd", web(24220, "/api/plugins.json", "Fluentd: monitor agent")),
        ("fluent-bit", web(2020, "/api/v1/health", "Fluent Bit: health endpoint")),
        ("uptime-kuma", web(3001, "/", "Uptime Kuma")),
        # object stores, registries, secrets, identity, coordination
        ("minio", Entry(9000, (shell("mc ready local", "MinIO: mc ready"), *http("/minio/health/live", "MinIO: liveness")))),
        ("registry", web(5000, "/v2/", "Distribution: API version check")),
        ("vault", port(8200, "Vault")),
        ("consul", web(8500, "/v1/status/leader", "Consul: leader")),
        ("etcd", Entry(2379, (Check(("CMD", "etcdctl", "--endpoints=127.0.0.1:{port}", "endpoint", "health"), "etcd: etcdctl"), *http("/health", "etcd: /health")))),
        ("keycloak", port(8080, "Keycloak", start_period="90s")),
        ("authelia", web(9091, "/api/health", "Authelia: /api/health")),
        ("hydra", web(4445, "/health/ready", "Ory: /health/ready")),
        ("openldap", port(389, "OpenLDAP")),
        ("gitea", web(3000, "/api/healthz", "Gitea: /api/healthz", "60s")),
        ("jenkins", web(8080, "/login", "Jenkins: login page", "120s")),
        ("sonarqube", web(9000, "/api/system/status", "SonarQube: system status", "120s")),
        ("metabase", web(3000, "/api/health", "Metabase: /api/health", "120s")),
        ("airflow", web(8080, "/health", "Airflow webserver: /health", "90s")),
        ("mailhog", web(8025, "/", "MailHog: UI")),
        ("mailpit", web(8025, "/readyz", "Mailpit: /readyz")),
        ("localstack", web(4566, "/_localstack/health", "LocalStack: health", "60s")),
    ]
)  # fmt: skip

RUNTIMES: Mapping[str, tuple[Check, ...]] = {
    "node": NODE, "bun": runtime("bun", "-e", "const r=await fetch('http://127.0.0.1:{port}/');process.exit(r.status<500?0:1)"),
    "deno": runtime("deno", "eval", "const r=await fetch('http://127.0.0.1:{port}/');Deno.exit(r.status<500?0:1)"),
    "python": PYTHON, "ruby": RUBY, "rails": RUBY, "php": PHP,
}  # fmt: skip
"""Language images: they answer on the port that the service declares, asked by the language's own client."""
UNKNOWN = (
    *http("/health", "by its declared port"),
    *http("/healthz", "by its declared port")[:2],
    *http("/", "by its declared port")[:2],
)
"""For an image that nobody knows, by its declared port, when the live container can be asked."""
