"""Validation of staged rows: the suite, its evaluation in DuckDB, quarantine, and the wording of results.

May import `tasks.reports`, `tasks.source`, `tasks.versions`, `core` and `config`.
"""
