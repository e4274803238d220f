"""The promotion gate.

Comparison of two versions, its checks, correction for repeated looks, negative controls, and the verdict. May import
`core.data`, `core.metrics`, `core.train`, the single modules of `core`, and `config`.
"""
