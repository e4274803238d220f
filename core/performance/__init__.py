"""Performance in a window: loss from labels, and the estimate without labels (CBPE, loss model).

May import `core.metrics` and the single modules of `core`.
"""
