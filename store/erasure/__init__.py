"""An entity's rows in the operational database, and the record of their erasure.

May import the modules of `store`, `store.log`, `store.scored`, `core` and `config`.
"""
