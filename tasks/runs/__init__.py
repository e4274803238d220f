"""Environment of flow runs: Prefect's API, deployments, locks, slots, heartbeats, progress, the actor, and the imports of warm
processes.

May import `tasks.warm`, `tasks.registry`, `store`, `core` and `config`.
"""
