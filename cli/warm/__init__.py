"""Warm starts: a process that has imported the libraries runs commands in forks of itself.

``place`` names the process that fits a command, ``client`` hands a command over, ``server`` is that process. The first
two import little but the standard library, because the client must be faster than what it saves.

May import `cli`, `flows`, `tasks`, `config` and all that these may import.
"""
