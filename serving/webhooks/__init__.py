"""Incoming webhooks: verification of signatures, and the inbox that stores a trigger before the answer 202.

May import `serving.access`, `serving.problems`, `store`, `core` and `config`.
"""
