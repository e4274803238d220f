"""The application of all routes but predictions and health, built while the worker serves."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import AbstractAsyncContextManager
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

QUIET_SECONDS = 2.0
"""Time from the begin of serving to the build, unless a request needs it earlier: imports hold up the event loop."""


class LaterApp:
    """An ASGI application that is built in a thread; requests for it wait.

    The framework and what its routes need take half of the imports of a worker, and no prediction needs them.

    Parameters
    ----------
    build
        Imports and builds the application.
    lifespan
        Runs while the worker serves.
    """

    def __init__(self, build: Callable[[], App], lifespan: Callable[[], AbstractAsyncContextManager[None]]) -> None:
        self._build = build
        self._lifespan = lifespan
        self._building: asyncio.Task[App] | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or run the lifespan."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        else:
            app = await asyncio.shield(self._begun())
            await app(scope, receive, send)

    def _begun(self) -> asyncio.Task[App]:
        failed = self._building is not None and self._building.done() and self._building.exception() is not None
        if self._building is None or failed:
            self._building = asyncio.create_task(asyncio.to_thread(self._built))
        return self._building

    def _built(self) -> App:
        app = self._build()
        # As the objects that existed when the worker began to serve; to look for garbage would hold up predictions.
        gc.freeze()
        return app

    async def _live(self, receive: Receive, send: Send) -> None:
        await receive()
        async with self._lifespan():
            await send({"type": "lifespan.startup.complete"})
            later = asyncio.get_running_loop().call_later(QUIET_SECONDS, self._begun)
            await receive()
            later.cancel()
        await send({"type": "lifespan.shutdown.complete"})
