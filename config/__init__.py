"""Model files, expectation suites and settings.

Their shape, how they are loaded, and the one reader of the environment. May import `core.errors` and nothing else of
this repository.
"""
