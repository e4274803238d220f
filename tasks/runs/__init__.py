"""Environment of flow runs: Prefect's API, deployments, locks, slots, heartbeats, progress, and the actor.

May import `tasks.registry`, `store`, `core` and `config`.
"""
