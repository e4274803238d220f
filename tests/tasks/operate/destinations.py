"""Destinations of alerts that run in the test process: a webhook and a mail server."""

from __future__ import annotations

import http.server
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field


@dataclass
class Received:
    """What arrived, and how it is answered."""

    port: int = 0
    requests: list[tuple[str, str]] = field(default_factory=list)
    status: int = 200
    location: str = ""
    release: threading.Event | None = None


@contextmanager
def webhook(host: str = "127.0.0.1") -> Iterator[Received]:
    """Run an HTTP server that keeps path and body of what is posted."""
    received = Received()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.requests.append((self.path, body))
            if received.release is not None:
                received.release.wait(30)
            self.send_response(received.status)
            if received.location:
                self.send_header("Location", received.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *_: object) -> None:
            pass

    with _running(http.server.ThreadingHTTPServer((host, 0), Handler), received):
        yield received


@contextmanager
def mail_server() -> Iterator[Received]:
    """Run an SMTP server that keeps the messages; the path is the sender's line."""
    received = Received()

    class Handler(socketserver.StreamRequestHandler):
        def handle(self) -> None:
            self._say("220 ready")
            sender = ""
            for line in self.rfile:
                word = line.decode().strip()
                if word.upper().startswith("MAIL"):
                    sender = word
                if word.upper() == "DATA":
                    self._say("354 go on")
                    received.requests.append((sender, self._message()))
                self._say("221 bye" if word.upper() == "QUIT" else "250 ok")
                if word.upper() == "QUIT":
                    return

        def _message(self) -> str:
            lines = iter(self.rfile.readline, b".\r\n")
            return b"".join(lines).decode()

        def _say(self, text: str) -> None:
            self.wfile.write(f"{text}\r\n".encode())

    with _running(socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler), received):
        yield received


@contextmanager
def _running(server: socketserver.TCPServer, received: Received) -> Iterator[None]:
    received.port = server.server_address[1]
    if isinstance(server, socketserver.ThreadingMixIn):
        server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield
    finally:
        if received.release is not None:
            received.release.set()
        server.shutdown()
        server.server_close()
        thread.join()
