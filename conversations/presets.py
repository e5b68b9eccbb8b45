"""What goes into the endpoints of assistants, and what comes out."""

from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from ninja import Field, Schema
from pydantic import AfterValidator, StringConstraints

from conversations.schemas import ModelName, Parameters, ProviderName, Strict, SystemPrompt
from conversations.text import Text, storable

Name = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=100),
    AfterValidator(storable),
    Field(description="No two of yours have the same.", examples=["Proofreader"]),
]
Description = Annotated[Text, Field(max_length=2_000, description="What it is for, in your words. No model gets it.")]


class AssistantIn(Strict):
    name: Name
    description: Description = ""
    provider: ProviderName | None = Field(None, description="A configured provider; the server's default by default.")
    model: ModelName | None = Field(None, description="A model of the provider; its default by default.")
    system_prompt: SystemPrompt = ""
    parameters: Parameters = {}


class AssistantPatch(Strict):
    """Only the fields that are sent change."""

    name: Name | None = None
    description: Description | None = None
    provider: ProviderName | None = None
    model: ModelName | None = None
    system_prompt: SystemPrompt | None = None
    parameters: Parameters | None = Field(None, description="In place of all that were there.")


class AssistantOut(Schema):
    id: UUID
    name: str
    description: str
    provider: str
    model: str
    system_prompt: str
    parameters: dict[str, Any]
    created_at: datetime
    updated_at: datetime


class AssistantPage(Schema):
    items: list[AssistantOut]
    next_cursor: str | None
