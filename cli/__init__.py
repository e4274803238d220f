"""The command ``perennial``: one module per group of commands; ``lines`` prints results."""
