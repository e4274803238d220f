"""What the service records about itself: logs, metrics, recent requests, and the prediction log.

May import `serving.instance`, `serving.problems`, `core` and `config`.
"""
