"""The least that answers hi, and a greeting in JSON, in FastAPI."""

from typing import Annotated

from fastapi import FastAPI
from fastapi.responses import PlainTextResponse
from pydantic import BaseModel, Field

app = FastAPI()


class Guest(BaseModel):
    """Who is to be greeted."""

    name: Annotated[str, Field(min_length=1, max_length=100)]


class Greeting(BaseModel):
    """What the guest hears."""

    text: str


@app.get("/", response_class=PlainTextResponse)
async def hello() -> str:
    """Answer hi."""
    return "hi"


@app.post("/greetings")
async def greet(guest: Guest) -> Greeting:
    """Greet a guest."""
    return Greeting(text=f"hi {guest.name}")
