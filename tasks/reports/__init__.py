"""HTML pages and figures: model card, validation, gate, and drift.

May import `tasks.versions`, `core` and `config`.
"""
