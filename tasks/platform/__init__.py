"""`perennial up`, `down` and `doctor`: the platform's processes on this machine, and diagnosis of an installation.

May import `tasks.warm`, `tasks.registry`, `tasks.runs`, `tasks.validation`, `tasks.versions`, `store`, `core` and
`config`.
"""
