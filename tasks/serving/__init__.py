"""Tasks around the service: fetching a bundle for it, API keys, the rehearsal, and test webhooks.

May import `tasks.registry`, `serving.model`, `store`, `core` and `config`.
"""
