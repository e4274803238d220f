"""New SQLite databases made from scripts: the operational one, and those of other programs.

May import `core` and `config`.
"""
