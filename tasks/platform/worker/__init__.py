"""The worker of the platform: Prefect's, with runs that are forks of a process that has imported the libraries.

``start`` is the worker, ``run`` the process that it starts for a run, ``server`` the one that is forked.

May import `tasks.platform`, `tasks.warm` and `tasks.runs`.
"""
