"""Staged release of a challenger: what each variant did, guardrails, and the decision after a look.

May import `core.drift`, `core.metrics`, the single modules of `core`, and `config`.
"""
