"""Inspection of a data set's rows in tables of the engine: how texts are read, and statistics of each column.

May import `tasks.source`, `core` and `config`, and of `tasks.init` only its own modules.
"""
