"""Batch scoring: the plan, parts in a hidden folder beside the output, and the output under its name once it is whole.

May import `tasks.monitor`, `tasks.registry`, `tasks.runs`, `tasks.source`, `serving.bundle`, `serving.model`, `store`,
`core` and `config`.
"""
