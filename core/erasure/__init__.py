"""What is left of a request without an entity's rows, and the result of an erasure.

May import the modules of `core`, `core.data` and `config`.
"""
