"""The rehearsal before promotion: a fresh process loads a bundle and answers the rows that are stored with it.

May import `serving.bundle` and `core`.
"""
