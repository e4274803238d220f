"""The processes, one Prefect flow per file: ingest, train, monitor, retrain, release, score and prune.

May import `tasks`, `core` and `config`.
"""
