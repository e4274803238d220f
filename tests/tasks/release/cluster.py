"""A double of the Kubernetes API: real sockets, versions of objects, and patches as it applies them."""

from __future__ import annotations

import json
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.core.release.objects import patched

TOKEN = "a-token-of-a-service-account"  # noqa: S105 - of a double


@dataclass
class Cluster:
    """What the double holds and does.

    Parameters
    ----------
    objects
        Objects by path.
    url
        Address of the double.
    conflicts
        Number of the next patches before which somebody else changes the object.
    status
        Answers every request with this one; 0: as Kubernetes does.
    delay
        Seconds before each answer.
    requests
        Method, path and content type of each request.
    """

    objects: dict[str, dict[str, Any]]
    url: str = ""
    conflicts: int = 0
    status: int = 0
    delay: float = 0.0
    requests: list[tuple[str, str, str]] = field(default_factory=list)

    def count(self, method: str) -> int:
        """Return the number of requests of a method."""
        return sum(one[0] == method for one in self.requests)

    def answer(self, method: str, path: str, content_type: str, token: str, body: bytes) -> tuple[int, Any]:
        """Answer a request as Kubernetes does, as far as releases need it."""
        self.requests.append((method, path, content_type))
        time.sleep(self.delay)
        if self.status:
            return self.status, {"message": "as the test wants it"}
        if token != f"Bearer {TOKEN}":
            return 401, {"message": "Unauthorized"}
        if path not in self.objects:
            return 404, {"message": "not found"}
        return self._patch(path, content_type, json.loads(body)) if method == "PATCH" else (200, self.objects[path])

    def _patch(self, path: str, content_type: str, document: Any) -> tuple[int, Any]:
        if self.conflicts:
            self.conflicts -= 1
            self._next_version(self.objects[path])
            self.objects[path]["spec"].get("rules", [{"backendRefs": []}])[0]["backendRefs"].reverse()
        present = self.objects[path]
        try:
            after = patched(present, content_type, document)
        except ValueError as error:
            return 422, {"message": str(error)}
        if after["metadata"]["resourceVersion"] != present["metadata"]["resourceVersion"]:
            return 409, {"message": "the object has been modified"}
        self._next_version(after)
        self.objects[path] = after
        return 200, after

    def _next_version(self, found: dict[str, Any]) -> None:
        found["metadata"]["resourceVersion"] = str(int(found["metadata"]["resourceVersion"]) + 1)


@contextmanager
def running(cluster: Cluster, certificate: Path | None = None) -> Iterator[Cluster]:
    """Serve a cluster on a free port until the end, over TLS with a certificate."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            given = (self.headers.get("Content-Type") or "", self.headers.get("Authorization") or "")
            status, document = cluster.answer(self.command, self.path, *given, body)
            content = json.dumps(document).encode()
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
            except (BrokenPipeError, ConnectionResetError):  # the client did not wait for a slow answer
                self.close_connection = True

        do_PATCH = do_GET  # noqa: N815 - the name that the base class asks for

        def log_message(self, *_given: object) -> None:
            """Print nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, certificate.with_suffix(".key"))
            server.socket = context.wrap_socket(server.socket, server_side=True)
        cluster.url = f"{'https' if certificate else 'http'}://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield cluster
        finally:
            server.shutdown()
            thread.join()


def certified(folder: Path, name: str) -> Path:
    """Write a certificate of 127.0.0.1 that signs itself, with its key beside it."""
    place = folder / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    command += ["-days", "2", "-subj", f"/CN={name}", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-out", str(place), "-keyout", str(place.with_suffix(".key"))]
    subprocess.run(command, check=True, capture_output=True)
    return place
