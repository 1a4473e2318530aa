"""Health checks by image: what each image is known to answer, as candidates in order; only the live container decides.

Each entry begins with the client that the image really ships; sources are each project's own documentation of its
health endpoint or client. An image is looked up by `owner/name` and then by the last part of its name, so that
registries, mirrors and digests do not matter.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace

from runbooks.compose.model import Service
from runbooks.steps import images
from runbooks.steps.clients import (
    BUN,
    DENO,
    NODE,
    PHP,
    PYTHON,
    RUBY,
    UNKNOWN,
    WRONG_PORT,
    Check,
    Entry,
    blind,
    connects,
    http,
    node_get,
    php_connect,
    port,
    shell,
    web,
)
from runbooks.steps.engines import ELASTICSEARCH, MARIADB, MONGO, MYSQL, OPENSEARCH, POOLER, POSTGRES, REDIS, VALKEY

__all__ = ["ENTRIES", "RUNTIMES", "UNKNOWN", "WRONG_PORT", "Check", "Entry", "find", "ports"]


def _named(entry: Entry, *names: str) -> Iterable[tuple[str, Entry]]:
    return ((name, entry) for name in names)


ENTRIES: Mapping[str, Entry] = dict(
    [
        # databases
        *_named(POSTGRES, "postgres", "postgresql", "postgis", "timescaledb", "timescaledb-ha", "pgvector", "supabase-postgres", "supabase/postgres", "alloydbomni"),
        *_named(POOLER, "pgbouncer"),
        *_named(MYSQL, "mysql", "mysql-server", "percona", "percona-server"),
        *_named(MARIADB, "mariadb", "mariadb-galera"),
        *_named(MONGO, "mongo", "mongodb", "mongodb-community-server"),
        ("cockroach", web(8080, "/health?ready=1", "CockroachDB: /health?ready=1", "60s")),
        *_named(web(8123, "/ping", "ClickHouse: /ping", client="wget"), "clickhouse-server", "clickhouse/clickhouse", "clickhouse"),
        ("influxdb", web(8086, "/health", "InfluxDB: /health")),
        ("neo4j", web(7474, "/", "Neo4j: HTTP API", "60s", client="wget")),
        ("couchdb", web(5984, "/_up", "CouchDB: /_up")),
        ("couchbase/server", web(8091, "/ui/index.html", "Couchbase: web console", "60s")),
        *_named(port(8529, "ArangoDB", client="nc"), "arangodb", "arangodb/enterprise"),
        ("cassandra", port(9042, "Cassandra", shell("cqlsh 127.0.0.1 {port} -e 'describe cluster' >/dev/null", "Cassandra: cqlsh"), start_period="120s")),
        ("scylla", port(9042, "ScyllaDB", start_period="120s")),
        ("questdb", web(9003, "/status", "QuestDB: health server", client="bash")),
        ("rethinkdb", port(28015, "RethinkDB")),
        *_named(port(1433, "SQL Server", start_period="60s"), "mssql/server", "azure-sql-edge"),
        ("dynamodb-local", port(8000, "DynamoDB local")),
        ("milvus", web(9091, "/healthz", "Milvus: /healthz", "90s")),
        # caches
        *_named(REDIS, "redis", "redis-stack", "redis-stack-server", "keydb", "dragonfly"),
        *_named(VALKEY, "valkey"),
        ("memcached", port(11211, "Memcached")),
        ("hazelcast", port(5701, "Hazelcast", start_period="60s")),
        # queues
        ("rabbitmq", port(5672, "RabbitMQ", shell("rabbitmq-diagnostics -q check_port_listener {port}", "RabbitMQ: check_port_listener"), start_period="60s")),
        *_named(port(9092, "Kafka", start_period="60s"), "kafka", "cp-kafka", "cp-server", "kafka-native"),
        ("redpanda", web(9644, "/v1/status/ready", "Redpanda: admin API")),
        ("zookeeper", port(2181, "ZooKeeper", shell("echo srvr | nc -w 2 127.0.0.1 {port} | grep -q Mode", "ZooKeeper: srvr, which is allowed by default"))),
        ("cp-zookeeper", port(2181, "ZooKeeper")),
        ("cp-schema-registry", web(8081, "/subjects", "Schema Registry: /subjects", "60s")),
        ("cp-kafka-connect", web(8083, "/connectors", "Kafka Connect: /connectors", "120s")),
        ("debezium/connect", web(8083, "/connectors", "Kafka Connect: /connectors", "120s")),
        ("kafka-ui", web(8080, "/actuator/health", "Kafka UI: actuator", "60s", client="wget")),
        ("nats", blind(8222, "/healthz", "NATS: /healthz of the monitoring port")),
        *_named(port(61616, "ActiveMQ", start_period="60s"), "activemq-artemis", "activemq-classic", "activemq"),
        ("emqx", web(18083, "/status", "EMQX: /status")),
        ("eclipse-mosquitto", port(1883, "Mosquitto", client="nc")),
        ("pulsar", web(8080, "/admin/v2/brokers/health", "Pulsar: broker health", "90s")),
        ("beanstalkd", port(11300, "beanstalkd", client="nc")),
        # proxies and web servers
        ("nginx", web(80, "/", "nginx", configured=True)),
        ("nginx-unprivileged", web(8080, "/", "nginx", configured=True)),
        ("openresty", web(80, "/", "OpenResty", configured=True)),
        ("httpd", web(80, "/", "Apache httpd", client="bash", configured=True)),
        ("caddy", web(2019, "/config/", "Caddy: admin API", client="wget")),
        ("traefik", port(80, "Traefik: entry point", shell("nc -z 127.0.0.1 {port} || exit 1", "Traefik: entry point"), shell("traefik healthcheck --ping --entryPoints.ping.address=:{port} --ping.entryPoint=ping", "Traefik: healthcheck, where --ping is on"), client="nc", configured=True)),
        ("haproxy", port(80, "HAProxy", configured=True)),
        ("envoy", web(9901, "/ready", "Envoy: admin /ready", client="bash")),
        ("kong", port(8001, "Kong: admin API")),
        ("varnish", port(80, "Varnish", configured=True)),
        ("squid", port(3128, "Squid")),
        ("tomcat", port(8080, "Tomcat", start_period="60s")),
        ("wordpress", web(80, "/wp-login.php", "WordPress", "60s")),
        ("nextcloud", web(80, "/status.php", "Nextcloud: /status.php", "60s")),
        ("ghost", Entry(2368, (node_get("/", "Ghost"), *http("/", "Ghost")), "60s")),
        ("phpmyadmin", web(80, "/", "phpMyAdmin")),
        ("adminer", Entry(8080, (php_connect("Adminer"), *connects("Adminer")))),
        ("pgadmin4", web(80, "/misc/ping", "pgAdmin: /misc/ping", "60s", client="wget")),
        ("mongo-express", port(8081, "mongo-express", client="nc")),
        ("directus", Entry(8055, (node_get("/server/ping", "Directus: /server/ping"), *http("/server/ping", "Directus: /server/ping", "wget")), "60s")),
        ("n8n", web(5678, "/healthz", "n8n: /healthz", "60s", client="wget")),
        # search
        ("elasticsearch", ELASTICSEARCH),
        ("opensearch", OPENSEARCH),
        ("solr", web(8983, "/solr/admin/info/system", "Solr: system info", "60s", client="wget")),
        ("meilisearch", web(7700, "/health", "Meilisearch: /health")),
        ("typesense", web(8108, "/health", "Typesense: /health", client="bash")),
        ("qdrant", web(6333, "/readyz", "Qdrant: /readyz", client="bash")),
        ("weaviate", web(8080, "/v1/.well-known/ready", "Weaviate: readiness", client="wget")),
        # logs, metrics, traces
        ("logstash", web(9600, "/", "Logstash: node info API", "120s")),
        ("kibana", web(5601, "/api/status", "Kibana: /api/status", "120s")),
        ("opensearch-dashboards", port(5601, "OpenSearch Dashboards", start_period="120s")),
        ("apm-server", web(8200, "/", "APM Server: server information", "60s")),
        ("prometheus", web(9090, "/-/ready", "Prometheus: /-/ready", client="wget")),
        ("alertmanager", web(9093, "/-/ready", "Alertmanager: /-/ready", client="wget")),
        ("pushgateway", web(9091, "/-/ready", "Pushgateway: /-/ready", client="wget")),
        ("node-exporter", web(9100, "/", "node_exporter: landing page", client="wget")),
        ("cadvisor", web(8080, "/healthz", "cAdvisor: /healthz", client="wget")),
        ("postgres-exporter", web(9187, "/", "postgres_exporter: landing page", client="wget")),
        ("mysqld-exporter", web(9104, "/", "mysqld_exporter: landing page", client="wget")),
        ("redis_exporter", blind(9121, "/health", "redis_exporter: /health")),
        ("blackbox-exporter", web(9115, "/-/healthy", "blackbox_exporter: /-/healthy", client="wget")),
        ("statsd-exporter", web(9102, "/-/ready", "statsd_exporter: /-/ready", client="wget")),
        *_named(web(3000, "/api/health", "Grafana: /api/health", "60s", client="wget"), "grafana", "grafana-oss", "grafana-enterprise"),
        ("loki", blind(3100, "/ready", "Loki: /ready")),
        ("tempo", blind(3200, "/ready", "Tempo: /ready")),
        ("promtail", blind(9080, "/ready", "Promtail: /ready")),
        ("all-in-one", web(14269, "/", "Jaeger 1: admin port", client="wget")),
        ("jaeger", web(13133, "/status", "Jaeger 2: healthcheckv2 extension", client="wget")),
        ("zipkin", web(9411, "/health", "Zipkin: /health", "60s", client="wget")),
        *_named(blind(13133, "/", "OpenTelemetry Collector: health_check extension"), "opentelemetry-collector-contrib", "opentelemetry-collector"),
        ("victoria-metrics", web(8428, "/health", "VictoriaMetrics: /health", client="wget")),
        ("fluentd", Entry(24224, (Check(("CMD", "ruby", "-rsocket", "-e", "TCPSocket.new('127.0.0.1',{port})"), "Fluentd: forward input, asked by its Ruby"), *connects("Fluentd")))),
        ("fluent-bit", blind(2020, "/api/v1/health", "Fluent Bit: health endpoint")),
        ("uptime-kuma", web(3001, "/", "Uptime Kuma")),
        # object stores, registries, secrets, identity, coordination
        ("minio", Entry(9000, (shell("MC_HOST_local=http://127.0.0.1:{port} mc ready local", "MinIO: mc ready"), *http("/minio/health/live", "MinIO: liveness")))),
        ("registry", web(5000, "/v2/", "Distribution: API version check", client="wget")),
        ("nexus3", web(8081, "/service/rest/v1/status", "Nexus: status", "120s")),
        ("verdaccio", web(4873, "/-/ping", "Verdaccio: /-/ping", client="wget")),
        ("vault", port(8200, "Vault", shell("VAULT_ADDR=http://127.0.0.1:{port} vault status >/dev/null", "Vault: status, 0 when unsealed"), client="nc")),
        ("consul", web(8500, "/v1/status/leader", "Consul: leader")),
        ("etcd", Entry(2379, (Check(("CMD", "etcdctl", "--endpoints=127.0.0.1:{port}", "endpoint", "health"), "etcd: etcdctl"), *http("/health", "etcd: /health")))),
        ("keycloak", port(8080, "Keycloak", start_period="90s")),
        ("authelia", web(9091, "/api/health", "Authelia: /api/health", client="wget")),
        ("hydra", web(4445, "/health/ready", "Ory: /health/ready", client="wget", roles=True)),
        ("kratos", web(4434, "/health/ready", "Ory: /health/ready", client="wget", roles=True)),
        ("dex", web(5556, "/dex/healthz", "Dex: /dex/healthz", client="wget")),
        ("oauth2-proxy", blind(4180, "/ping", "OAuth2 Proxy: /ping")),
        ("openldap", port(389, "OpenLDAP")),
        ("gitea", web(3000, "/api/healthz", "Gitea: /api/healthz", "60s")),
        ("jenkins", web(8080, "/login", "Jenkins: login page", "120s")),
        ("sonarqube", web(9000, "/api/system/status", "SonarQube: system status", "120s")),
        ("metabase", web(3000, "/api/health", "Metabase: /api/health", "120s")),
        ("airflow", web(8080, "/health", "Airflow webserver: /health", "90s", roles=True)),
        ("graphql-engine", web(8080, "/healthz", "Hasura: /healthz", "60s")),
        ("mailhog", web(8025, "/", "MailHog: UI", client="wget")),
        ("mailpit", web(8025, "/readyz", "Mailpit: /readyz", client="wget")),
        ("localstack", web(4566, "/_localstack/health", "LocalStack: health", "60s")),
        ("gotenberg", web(3000, "/health", "Gotenberg: /health")),
    ]
)  # fmt: skip

RUNTIMES: Mapping[str, tuple[Check, ...]] = {
    "node": NODE, "bun": BUN, "deno": DENO, "python": PYTHON, "ruby": RUBY, "rails": RUBY, "php": PHP,
}  # fmt: skip
"""Language images: they answer on the port that the service declares, asked by the language's own client."""

BITNAMI_PORTS = {"openldap": 1389, "nginx": 8080, "wordpress": 8080, "pgbouncer": 6432, "haproxy": 8080}
"""Images of these names that run without root, and so on ports of their own."""
_TLS_PORTS = (443, 8443)
_PORT_VARIABLES = (
    "LISTEN_PORT",
    "PGBOUNCER_PORT",
    "PGPORT",
    "MYSQL_TCP_PORT",
    "VALKEY_PORT_NUMBER",
    "REDIS_PORT_NUMBER",
)
"""Variables by which images themselves are told their port; anything else is some program's own business."""
_TOLD = re.compile(r"(?:^|\s)--port[= ](\d+)(?=\s|$)")


def find(service: Service) -> Entry | None:
    """The entry of a service's image, by its variant where the variants ship different clients."""
    name, owner = images.repository(service.image), images.owner(service.image)
    entry = ENTRIES.get(f"{owner}/{name}") or ENTRIES.get(name)
    if entry is None or not images.serves(service):
        return None
    tag = _tag(service.image)
    if "fpm" in tag:
        return Entry(9000, (php_connect("PHP-FPM"), *connects("PHP-FPM")), "60s")
    if "sentinel" in " ".join(service.command or ()) and entry in (REDIS, VALKEY):
        return replace(entry, port=26379)
    if entry is MONGO and re.match(r"[2-4]\.|[2-4]$", tag):
        return replace(entry, checks=(entry.checks[1], entry.checks[0], *entry.checks[2:]))
    if "distroless" in tag:
        return replace(entry, blind=True)
    return entry.on_alpine() if "alpine" in tag else entry


def ports(entry: Entry, service: Service, declared: tuple[int, ...], *, live: bool) -> tuple[int, ...]:
    """The ports to try, the likeliest first; without a live container only one that is likely enough to write."""
    told = _told_port(service)
    if told:
        return (told,)
    usual = entry.port
    if images.owner(service.image).startswith("bitnami"):
        usual = BITNAMI_PORTS.get(images.repository(service.image), usual)
    plain = [each for each in declared if each not in _TLS_PORTS]
    if entry.configured and plain and usual not in plain:
        return tuple(dict.fromkeys((*plain[:1], usual))) if live else (plain[0],)
    if live:
        # A health port of its own is asked first; images that are told another port are found by what they declare.
        return (usual, *[each for each in declared if each != usual][:1])
    return () if entry.blind or (entry.roles and usual not in declared) else (usual,)


def _told_port(service: Service) -> int | None:
    """The port that a service's variables or command name for the program that its image runs."""
    for name in _PORT_VARIABLES:
        variable = service.environment.get(name)
        if variable and variable.value and variable.value.isdigit():
            return int(variable.value)
    found = _TOLD.search(" ".join(service.command or ()))
    return int(found[1]) if found else None


def _tag(image: str | None) -> str:
    return (image or "").split("@", 1)[0].rsplit("/", 1)[-1].partition(":")[2].lower()
