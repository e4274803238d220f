"""Environment of flow runs: Prefect's API, deployments, locks, slots, heartbeats, progress, actor, imports kept warm.

May import `tasks.warm`, `tasks.registry`, `store`, `core` and `config`.
"""
