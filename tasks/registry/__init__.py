"""MLflow: registering, fetching and listing versions with their bundles.

May import `tasks.versions`, `serving.bundle`, `store`, `core` and `config`.
"""
