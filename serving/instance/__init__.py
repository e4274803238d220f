"""The files of one running service: its folder and the state that its processes share.

May import `store` and `core`.
"""
