"""The command `perennial`: one module per group of commands, each a thin call of a flow or a task.

May import every other package: `flows`, `tasks`, `serving`, `store`, `core` and `config`.
"""
