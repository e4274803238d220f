"""A stand-in for a Prefect server that is busy, which a real one cannot be made to be at a chosen request."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@contextmanager
def busy_api(run: dict[str, Any]) -> Iterator[tuple[str, list[str]]]:
    """Yield the address of a server that answers 503 to every other request, and the paths that it was asked for.

    Asked for flow runs by their ids, it answers with the given one; to any other POST, with an empty list.
    """
    asked: list[str] = []

    class Busy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            # The client asks for the server's version.
            self.send_error(404)

        def do_POST(self) -> None:
            asked.append(self.path)
            body = json.loads(self.rfile.read(int(self.headers["content-length"])))
            answer = json.dumps([run] if "id" in (body.get("flow_runs") or {}) else []).encode()
            self.send_response(503 if len(asked) % 2 else 200)
            self.send_header("Retry-After", "0")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Busy) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", asked
        server.shutdown()
