"""Who may call the service: API keys, JWTs, roles, and rate limits.

May import `serving.problems`, `store`, `core` and `config`.
"""
