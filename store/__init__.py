"""The operational database.

Its tables, transactions, migrations, and one module per subject (champions, triggers, predictions …). May import
`core` and `config`.
"""
