"""Stories told on a database, whichever driver there is."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Engine

from store.database import open_database
from tests.postgres import call_with_driver

Story = Callable[[Engine, str], None]
"""What happens on an engine to a model of that name."""


def with_engine(address: str, work: Callable[[Engine], None]) -> None:
    """Do something with a database, through whichever driver there is."""
    if address.startswith("sqlite"):
        work(open_database(address))
    else:
        call_with_driver(lambda: work(open_database(address)))
