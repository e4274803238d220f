"""From request rows to answers: parsing, checks against the feature contract, the call of the graph.

May import `serving.bundle`, `core` and `config`.
"""
