"""Batch scoring: addresses, the plan of parts, what cells the contract refuses, and the columns of a part's output.

May import `core.data`, the single modules of `core`, and `config`.
"""
