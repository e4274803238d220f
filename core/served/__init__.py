"""Served rows and their labels: values as they were sent, windows of the prediction log, delays of labels.

May import `core.data`, the modules of `core` and `config`.
"""
