"""Warm starts of commands: a process that has imported the libraries runs commands in forks of itself.

``commands`` says which commands, and hands one over; ``server`` is that process. How is in :mod:`tasks.warm`.

May import `cli`, `flows`, `tasks`, `config` and all that these may import.
"""
