"""FastAPI endpoints that do nothing: the most that a service in front of the same server can reach."""

from fastapi import FastAPI
from pydantic import BaseModel

from benchmarks.serving_rows import Application

app = FastAPI()


class Applications(BaseModel):
    """The body that Perennial takes."""

    rows: list[Application]


@app.post("/parsed")
async def parsed(payload: Applications) -> dict[str, str]:  # noqa: ARG001 - FastAPI parses what is declared
    """Parse and check the rows, answer a constant."""
    return {"model": "none"}


@app.post("/unread")
async def unread() -> dict[str, str]:
    """Answer a constant and leave the body alone."""
    return {}
