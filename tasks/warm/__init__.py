"""Forks of a process that has imported the libraries, in place of new processes that import them again.

``place`` names the process that fits a caller, ``inherited`` what a process has from the one that started it,
``client`` hands work over, ``server`` is that process, ``fork`` makes a fork what a new process would be, ``leaving``
ends it. They import little but the standard library, because the client must be faster than what it saves.

May import `config`.
"""
