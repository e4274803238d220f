"""Changes of the champion by a person, the history of tenures, and MLflow's aliases as a copy of the database.

May import `tasks.registry`, `tasks.runs`, `store`, `core` and `config`.
"""
