"""What surrounds a flow run: Prefect's API, deployments, locks, slots, heartbeats, progress, and the actor.

May import `tasks.registry`, `store`, `core` and `config`.
"""
