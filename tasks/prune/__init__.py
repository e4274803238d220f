"""Retention: finding and removing what the decision in `core.retention` lets go.

May import `tasks.registry`, `tasks.runs`, `tasks.score`, `tasks.validation`, `tasks.versions`, `store`, `core` and
`config`.
"""
