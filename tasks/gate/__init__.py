"""Judging a version: evidence for the gate, the recorded verdict, promotion, and the gate's report.

May import `tasks.champions`, `tasks.registry`, `tasks.release`, `tasks.reports`, `tasks.runs`,
`tasks.served`, `tasks.serving`, `tasks.train`, `tasks.validation`, `tasks.versions`, `serving.bundle`, `store`, `core`
and `config`.
"""
