"""Served rows and their labels: values as they were sent, windows of the log, delays and selection of labels.

May import `core.data`, the modules of `core` and `config`.
"""
