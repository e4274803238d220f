"""What `perennial init` infers from a file: column types, roles, a model file, and an expectation suite.

May import `core.data`, the single modules of `core`, and `config`.
"""
