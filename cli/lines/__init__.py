"""The text that the commands print: functions from a result to lines, without any output of their own.

May import `core`, `store`, `config` and the result types of `tasks`; no module of `cli` but this package's.
"""
