"""The HTTP interface: the ASGI entry, the FastAPI application, OpenAPI, and the status page.

May import every sub-package of `serving` but `serving.processes` and `serving.rehearsal` (`serving.access`,
`serving.bundle`, `serving.instance`, `serving.model`, `serving.release`, `serving.telemetry`, `serving.webhooks`),
`store`, `core` and `config`.
"""
