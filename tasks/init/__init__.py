"""Statistics of a user's file for `perennial init`, and writing the model file and the suite.

May import `tasks.source`, `core` and `config`.
"""
