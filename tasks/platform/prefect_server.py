"""Prefect's server as a process of the platform: ``prefect server start``, for requests of this machine only."""

from __future__ import annotations

import sys

from tasks.runs.local_requests import LocalRequests


def serve(port: int) -> None:
    """Serve on the loopback address until SIGTERM, with Prefect's own settings of its server."""
    import uvicorn
    from prefect.server.api.server import create_app
    from prefect.settings import get_current_settings

    server = get_current_settings().server
    uvicorn.run(
        LocalRequests(create_app(final=True)),
        host="127.0.0.1",
        port=port,
        timeout_keep_alive=server.api.keepalive_timeout,
        ws_ping_interval=server.api.websocket_ping_interval,
        ws_ping_timeout=server.api.websocket_ping_timeout,
        log_level=server.logging_level.lower(),
    )


if __name__ == "__main__":
    serve(int(sys.argv[1]))
