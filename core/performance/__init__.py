"""Performance in a window: loss from labels, and the estimate without labels (CBPE).

May import `core.metrics` and the single modules of `core`.
"""
