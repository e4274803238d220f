"""What a service does with a release: the breaker of a version, and what it reports.

May import `core`.
"""
