"""Batch scoring: the plan, parts in a hidden folder beside the output, and the output under its name once it is whole.

May import `tasks.registry`, `tasks.source`, `tasks.versions`, `serving.bundle`, `serving.model`, `store`, `core` and
`config`.
"""
