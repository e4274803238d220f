"""Erasure of an entity's rows: in the database, in batches and DVC's objects, in files that hold rows.

May import `tasks.prune`, `tasks.registry`, `tasks.runs`, `tasks.score`, `tasks.source`, `tasks.validation`,
`tasks.versions`, `store`, `core` and `config`.
"""
