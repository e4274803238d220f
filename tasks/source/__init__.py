"""Reading a model's source (files, SQL, simulator) into typed Parquet, with rejected cells kept apart.

May import `core` and `config`.
"""
