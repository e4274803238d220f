"""Connections that write the prediction log.

May import the modules of `store`, `core` and `config`.
"""
