"""The generated reference: pages of ``docs/reference/`` and the JSON schema of the model file, made from the code.

Each module makes one page by pure functions from what the program itself uses: pydantic models, click commands, routes,
event builders, metrics, the tree of errors. No other package imports it, and it is not part of the wheel.

May import `cli`, `serving`, `core` and `config`.
"""
