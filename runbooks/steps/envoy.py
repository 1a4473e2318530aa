"""What Envoy is told: a sidecar's whole configuration, and the two files by which it takes new certificates up. Pure.

A sidecar ends mutual TLS for the service beside it, and begins it for what that service calls. Numbers of outlier
detection are the circuit breakers' (the proposal's section 4).
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Protocol = Literal["http", "tcp"]

INSIDE = "/etc/mesh"
"""Where the files are in a sidecar's container."""
CERTIFICATES = "/certificates"
"""Where the authority puts what a sidecar shows and trusts; `current` in it is renamed into place."""
FIRST = 15100
"""The port of the first mutual TLS listener; each further one is one above."""
METRICS = 15090
ADMIN = 9901
"""On the loopback of the sidecar's own container alone."""
WORDS = ("envoy", "-c", f"{INSIDE}/envoy.yaml", "--disable-hot-restart", "--log-level", "warning", "--concurrency", "2")
"""How a sidecar is started."""
WAIT = f"trap 'exit 0' TERM; until [ -e {CERTIFICATES}/current/authority.pem ]; do sleep 0.2; done; exec \"$@\""
"""What starts it, as `sh -c WAIT sh WORDS`. After a boot of the host its certificates are not there yet: they were in memory, and
an Envoy that did not find them would never look again."""
_TYPE = "type.googleapis.com/envoy.extensions."
_TLS = f"{_TYPE}transport_sockets.tls.v3."
_HTTP_OPTIONS = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"


@dataclass(frozen=True)
class Port:
    """A port of a meshed service: what it speaks, and how many requests (TCP: connections) a second it takes at most (0: any)."""

    number: int
    protocol: Protocol
    rate: int = 0


@dataclass(frozen=True)
class Target:
    """A meshed service as its callers reach it: its names, its port, and the listener of its sidecar."""

    service: str
    names: tuple[str, ...]
    port: Port
    sidecar: str
    listen: int


@dataclass(frozen=True)
class Pass:
    """What a meshed service needs outside the mesh: its names, its port, and the name that leads there from its sidecar.

    That is another one, as the sidecar itself has all of `names` where its service looks for them.
    """

    names: tuple[str, ...]
    port: int
    where: str


@dataclass(frozen=True)
class Sidecar:
    """One sidecar. `address`: its own on the network that it shares with its service alone.

    `callers`: whose certificates it accepts.
    """

    service: str
    domain: str
    address: str
    ports: tuple[Port, ...] = ()
    callers: tuple[str, ...] = ()
    calls: tuple[Target, ...] = ()
    passes: tuple[Pass, ...] = ()


def identity(domain: str, service: str) -> str:
    """What a certificate says who somebody is, as SPIFFE writes it."""
    return f"spiffe://{domain}/{service}"


def written(document: Any) -> str:
    """A document as the YAML that JSON is, with a line for who finds it."""
    return f"# Written by the step service_mesh of Compose Runbook.\n{json.dumps(document, indent=1)}\n"


def certificate() -> str:
    """What a sidecar shows: read again whenever the authority renames `current` into place."""
    files = {"certificate_chain": "certificate.pem", "private_key": "key.pem"}
    return _secret("certificate", "tls_certificate", files)


def trust() -> str:
    """Whom a sidecar trusts."""
    return _secret("trust", "validation_context", {"trusted_ca": "authority.pem"})


def _secret(name: str, kind: str, files: dict[str, str]) -> str:
    held: dict[str, Any] = {key: {"filename": f"{CERTIFICATES}/current/{file}"} for key, file in files.items()}
    held["watched_directory"] = {"path": CERTIFICATES}
    return written({"resources": [{"@type": f"{_TLS}Secret", "name": name, kind: held}]})


def configuration(sidecar: Sidecar) -> str:
    """The whole file."""
    listeners = [_inbound(sidecar, port, FIRST + at) for at, port in enumerate(sidecar.ports)]
    clusters = [_own(sidecar, port) for port in sidecar.ports]
    by_port: dict[int, list[Target]] = {}
    for target in sidecar.calls:
        by_port.setdefault(target.port.number, []).append(target)
        clusters.append(_towards(sidecar, target))
    listeners += [_outbound(sidecar, number, found) for number, found in by_port.items()]
    for each in sidecar.passes:
        name = f"pass_{each.names[0]}_{each.port}"
        listeners.append(_listener(name, sidecar.address, each.port, [{"filters": [_proxy(name)]}]))
        clusters.append(_cluster(name, each.where, each.port))
    listeners.append(_metrics())
    clusters.append({"name": "admin", "type": "STATIC", "connect_timeout": "1s", **_endpoint("admin", "127.0.0.1", ADMIN)})  # fmt: skip
    return written({
        "node": {"id": sidecar.service, "cluster": sidecar.domain},
        "admin": {"address": _address("127.0.0.1", ADMIN)},
        "static_resources": {"listeners": listeners, "clusters": clusters},
    })  # fmt: skip


def _address(host: str, port: int) -> dict[str, Any]:
    return {"socket_address": {"address": host, "port_value": port}}


def _listener(name: str, host: str, port: int, chains: list[dict[str, Any]]) -> dict[str, Any]:
    return {"name": name, "address": _address(host, port), "filter_chains": chains}


def _inbound(sidecar: Sidecar, port: Port, listen: int) -> dict[str, Any]:
    """Takes mutual TLS from the callers that are known, and nothing else from anybody."""
    name = f"own_{port.number}"
    context = {
        "@type": f"{_TLS}DownstreamTlsContext",
        "require_client_certificate": True,
        "common_tls_context": _tls(identity(sidecar.domain, caller) for caller in sidecar.callers),
    }
    if port.protocol == "http":
        host = {"name": name, "domains": ["*"], "routes": [_route(name)]}
        filters = [_http(f"in_{port.number}", [host], port.rate, client=True)]
    else:
        limit = [_typed("envoy.filters.network.local_ratelimit", "filters.network.local_ratelimit.v3.LocalRateLimit",
                        stat_prefix="in_limited", token_bucket=_bucket(port.rate))] if port.rate else []  # fmt: skip
        filters = [*limit, _proxy(name)]
    socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    return _listener(f"in_{port.number}", "0.0.0.0", listen, [{"filters": filters, "transport_socket": socket}])  # noqa: S104 - mutual TLS


def _outbound(sidecar: Sidecar, number: int, targets: Sequence[Target]) -> dict[str, Any]:
    """Takes what its own service sends, on the network that only the two are on.

    HTTP services may share a port, and are told apart by their names; where there is one, it may be called as it is
    called outside (proxies hand the name on that they were asked for).
    """
    first = targets[0]
    if first.port.protocol == "tcp":
        filters = [_proxy(_to(first))]
    else:
        hosts = [
            {"name": each.service, "domains": [form for name in each.names for form in (name, f"{name}:{number}")] if len(targets) > 1 else ["*"],
             "routes": [_route(_to(each))]} for each in targets
        ]  # fmt: skip
        filters = [_http(f"out_{number}", hosts, 0, usual=first.service)]
    return _listener(f"out_{number}", sidecar.address, number, [{"filters": filters}])


def _to(target: Target) -> str:
    return f"to_{target.service}_{target.port.number}"


def _route(cluster: str) -> dict[str, Any]:
    """Tries again only what never reached the other side, so that nothing is done twice; no time limit of its own."""
    again = {
        "retry_on": "connect-failure,refused-stream,reset-before-request", "num_retries": 3,
        "retry_back_off": {"base_interval": "0.1s", "max_interval": "1s"},
    }  # fmt: skip
    return {"match": {"prefix": "/"}, "route": {"cluster": cluster, "timeout": "0s", "retry_policy": again}}


def _http(
    name: str, hosts: list[dict[str, Any]], rate: int, *, client: bool = False, usual: str = ""
) -> dict[str, Any]:
    limit = [_typed("envoy.filters.http.local_ratelimit", "filters.http.local_ratelimit.v3.LocalRateLimit",
                    stat_prefix="in_limited", token_bucket=_bucket(rate), filter_enabled=_ALWAYS, filter_enforced=_ALWAYS)] if rate else []  # fmt: skip
    # Who called is told to the service; what a caller says of itself is not believed.
    told: dict[str, Any] = {"forward_client_cert_details": "SANITIZE_SET", "set_current_client_cert_details": {"uri": True}} if client else {}  # fmt: skip
    return _typed(
        "envoy.filters.network.http_connection_manager",
        "filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name, stream_idle_timeout="0s", upgrade_configs=[{"upgrade_type": "websocket"}], **told,
        # Proxies speak HTTP/1.0 unless told otherwise; who answers is the service, by its own name.
        http_protocol_options={"accept_http_10": True, **({"default_host_for_http_10": usual} if usual else {})},
        server_header_transformation="PASS_THROUGH",
        route_config={"name": name, "virtual_hosts": hosts},
        http_filters=[*limit, _typed("envoy.filters.http.router", "filters.http.router.v3.Router", suppress_envoy_headers=True)],
    )  # fmt: skip


_ALWAYS = {"runtime_key": "limit", "default_value": {"numerator": 100}}


def _bucket(rate: int) -> dict[str, Any]:
    return {"max_tokens": rate, "tokens_per_fill": rate, "fill_interval": "1s"}


def _proxy(cluster: str) -> dict[str, Any]:
    """Connections of databases may be silent for days: none is cut for that."""
    return _typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
                  stat_prefix=cluster, cluster=cluster, idle_timeout="0s", max_connect_attempts=3)  # fmt: skip


def _typed(name: str, kind: str, **settings: Any) -> dict[str, Any]:
    return {"name": name, "typed_config": {"@type": f"{_TYPE}{kind}", **settings}}


def _own(sidecar: Sidecar, port: Port) -> dict[str, Any]:
    """The service itself, each of its replicas. Servers close idle connections after seconds: here it is done before they do."""
    return _cluster(f"own_{port.number}", sidecar.service, port.number, "1s" if port.protocol == "http" else "")


def _towards(sidecar: Sidecar, target: Target) -> dict[str, Any]:
    context = {
        "@type": f"{_TLS}UpstreamTlsContext",
        "sni": target.service,
        "common_tls_context": _tls([identity(sidecar.domain, target.service)]),
    }
    socket = {"name": "envoy.transport_sockets.tls", "typed_config": context}
    idle = "300s" if target.port.protocol == "http" else ""
    return {**_cluster(_to(target), target.sidecar, target.listen, idle), "transport_socket": socket}


def _cluster(name: str, host: str, port: int, idle: str = "") -> dict[str, Any]:
    """By name, asked often: a container that is made anew has another address."""
    return {
        "name": name, "type": "STRICT_DNS", "connect_timeout": "2s", "dns_lookup_family": "V4_ONLY",
        "dns_refresh_rate": "2s", "dns_failure_refresh_rate": {"base_interval": "0.2s", "max_interval": "1s"},
        "outlier_detection": {"consecutive_5xx": 5, "interval": "2s", "base_ejection_time": "30s", "max_ejection_percent": 50},
        **({"typed_extension_protocol_options": {_HTTP_OPTIONS: {
            "@type": f"type.googleapis.com/{_HTTP_OPTIONS}", "common_http_protocol_options": {"idle_timeout": idle},
            "explicit_http_config": {"http_protocol_options": {}},
        }}} if idle else {}),
        **_endpoint(name, host, port),
    }  # fmt: skip


def _endpoint(name: str, host: str, port: int) -> dict[str, Any]:
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": _address(host, port)}}]}]
    return {"load_assignment": {"cluster_name": name, "endpoints": endpoints}}


def _tls(accepted: Any) -> dict[str, Any]:
    def source(name: str) -> dict[str, Any]:
        path = f"{INSIDE}/{name}.yaml"
        return {"name": name, "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"}}

    names = [{"san_type": "URI", "matcher": {"exact": each}} for each in accepted]
    return {
        "tls_certificate_sds_secret_configs": [source("certificate")],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": names},
            "validation_context_sds_secret_config": source("trust"),
        },
    }


def _metrics() -> dict[str, Any]:
    """Only the numbers: the rest of the administration answers to the sidecar's own container."""
    shown = [
        {"match": {"path": "/metrics"}, "route": {"cluster": "admin", "prefix_rewrite": "/stats/prometheus"}},
        {"match": {"prefix": "/"}, "direct_response": {"status": 404}},
    ]
    host = {"name": "metrics", "domains": ["*"], "routes": shown}
    return _listener("metrics", "0.0.0.0", METRICS, [{"filters": [_http("metrics", [host], 0)]}])  # noqa: S104 - numbers only
