"""Access to disk, network and libraries.

One sub-package per capability; `steps` makes Prefect tasks of its functions. May import `store`, `core`, `config`,
`serving.bundle` and `serving.model`.
"""
