"""A stand-in for a program that has no Debian package: starts slowly, refuses connections until it is ready, crashes when
what it needs at start is absent, and answers the health endpoints of the real one.
"""

import json
import os
import signal
import sys
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit

import startup

# name: (port, the variables that name what it needs at start, path -> JSON or text that the real one answers)
PROGRAMS = {
    "elasticsearch": (
        9200,
        (),
        {
            "/": {"name": "stand-in", "cluster_name": "docker-cluster", "tagline": "You Know, for Search"},
            "/_cluster/health": {"cluster_name": "docker-cluster", "status": "green", "timed_out": False},
        },
    ),
    "logstash": (9600, ("ELASTICSEARCH_HOSTS",), {"/": {"host": "logstash", "status": "green"}}),
    "kibana": (
        5601,
        ("ELASTICSEARCH_HOSTS",),
        {"/": "Kibana", "/api/status": {"status": {"overall": {"level": "available"}}}},
    ),
    "apm-server": (8200, ("ELASTICSEARCH_HOSTS", "KIBANA_HOST"), {"/": {"publish_ready": True}}),
    "grafana": (3000, ("PROMETHEUS_URL",), {"/": "Grafana", "/api/health": {"database": "ok"}}),
    "frontend": (
        80,
        ("BACKEND_URL", "LOGSTASH_URL", "APM_SERVER_URL"),
        {"/": "<h1>Reconciliation</h1>", "/health": "ok"},
    ),
}


def main(name: str) -> None:
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    port, needs, answers = PROGRAMS[name]
    print(f"{name}: starting", flush=True)
    for variable in needs:
        require(os.environ.get(variable, ""))
    startup.wait(name)
    print(f"{name}: ready", flush=True)
    serve(port, answers.get)


def require(url: str) -> None:
    """Ends the program when `url` does not answer; an empty one is not needed."""
    if not url:
        return
    try:
        with urllib.request.urlopen(url, timeout=3) as reply:  # noqa: S310 - the stack's own addresses
            reply.read()
    except urllib.error.HTTPError as error:
        if error.code >= 500:
            fail(url, error)
    except OSError as error:
        fail(url, error)


def fail(url: str, error: Exception) -> None:
    """Logs one failed connection attempt, without a password, and crashes."""
    place = urlsplit(url)
    print(f"connection attempt failed: {place.hostname}:{place.port}: {type(error).__name__}", flush=True)
    sys.exit(1)


def serve(port: int, answer) -> None:
    """Answers `GET` with what `answer(path)` gives: a value (200), a pair (code, value), or None (404)."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            found = answer(urlsplit(self.path).path)
            code, value = found if isinstance(found, tuple) else (404 if found is None else 200, found)
            body = (value if isinstance(value, str) else json.dumps(value)).encode() + b"\n"
            self.send_response(code)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET

        def log_message(self, *_words: object) -> None:
            """Says nothing for each request: the log is for connection attempts."""

    class Server(ThreadingHTTPServer):
        daemon_threads = True
        request_queue_size = 512

    Server(("", port), Handler).serve_forever()


if __name__ == "__main__":
    main(sys.argv[1])
