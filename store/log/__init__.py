"""The prediction log and the labels: connections that write it, and what is read of both.

May import the modules of `store`, `core` and `config`.
"""
