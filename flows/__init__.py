"""The processes, one Prefect flow per file: ingest, train, monitor, retrain and prune.

May import `tasks`, `core` and `config`.
"""
