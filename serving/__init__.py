"""The prediction service and everything that loads or rehearses a bundle.

May import `store`, `core` and `config`; `tasks` may import `serving.bundle` and `serving.model`.
"""
