"""Monitoring a window: choosing its rows, counting them, measuring, recording the verdict, and the drift report.

May import `tasks.champions`, `tasks.registry`, `tasks.reports`, `tasks.runs`, `tasks.served`, `tasks.train`,
`tasks.versions`, `serving.bundle`, `store`, `core` and `config`.
"""
