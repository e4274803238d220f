"""Training a version: rows of a snapshot, fit, search, evaluation, ONNX export, and the content of the bundle.

May import `tasks.registry`, `tasks.reports`, `tasks.serving`, `tasks.validation`, `tasks.versions`, `serving`'s
bundle reader, `store`, `core` and `config`.
"""
