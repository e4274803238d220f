"""Reading a model's source (files, SQL, simulator) into typed Parquet, with a message that names rejected cells.

May import `core` and `config`.
"""
