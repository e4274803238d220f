"""The processes of the service: the supervisor, its workers, and the follower that fetches new champions.

May import every other sub-package of `serving` (`serving.access`, `serving.bundle`, `serving.http`,
`serving.instance`, `serving.model`, `serving.release`, `serving.telemetry`, `serving.webhooks`), `store`, `core` and
`config`.
"""
