"""Continuous operation: the relay to Prefect, delivery of alerts, and claiming and answering of triggers.

May import `tasks.champions`, `tasks.registry`, `tasks.release`, `tasks.runs`, `tasks.versions`, `store`, `core` and
`config`.
"""
