"""The four processes, one Prefect flow per file: ingest, train, monitor and retrain.

May import `tasks`, `core` and `config`.
"""
