"""Bundles and versions that this project registered.

May import the modules of `store` and `core`.
"""
