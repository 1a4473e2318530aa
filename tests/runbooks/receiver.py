"""A receiver of webhooks: a real HTTP server on loopback."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "T0KEN-of-the-webhook"


class Web:
    """A receiver of webhooks: what it got, and what it answers (a list of status codes, the last one repeated)."""

    def __init__(self):
        self.got, self.codes, self.arrived, self.released = [], [200], threading.Event(), threading.Event()
        self.holds = False
        web = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((self.path, self.headers["Content-Type"], json.loads(body)))
                web.arrived.set()
                if web.holds:
                    web.released.wait(120)
                code = web.codes.pop(0) if len(web.codes) > 1 else web.codes[0]
                self.send_response(code)
                self.send_header("Location", "/elsewhere")
                self.end_headers()

            def log_message(self, *_):
                """Quiet."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.05,), daemon=True)
        self.thread.start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server.server_port}/hook/{TOKEN}"

    def stop(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
