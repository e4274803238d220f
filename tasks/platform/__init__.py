"""`perennial up`, `down` and `doctor`: the processes of the platform on this machine, and what is wrong with them.

May import `tasks.registry`, `tasks.runs`, `tasks.validation`, `tasks.versions`, `store`, `core` and `config`.
"""
