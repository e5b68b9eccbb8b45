"""Assistants: the presets that conversations start from."""

from typing import Any
from uuid import UUID

from ninja import Router, Status

from chatproject import db
from chatproject.http import ApiRequest
from chatproject.openapi import problems
from conversations import assistants, turns
from conversations.api.answering import BODY, Cursor, Limit
from conversations.models import Assistant
from conversations.presets import AssistantIn, AssistantOut, AssistantPage, AssistantPatch
from conversations.schemas import known
from conversations.turn import Ask
from providers import routing

router = Router(tags=["assistants"])


@router.post("/assistants", response={201: AssistantOut, **problems(*BODY, "unknown_provider", "assistant_exists")})
async def create_assistant(request: ApiRequest, body: AssistantIn) -> Status[Any]:
    """Creates an assistant. `assistant_id` of a new conversation names it; that conversation takes a copy of what the
    assistant is then."""
    ask = Ask(content="", stream=False, provider=body.provider, model=body.model)
    provider, model = turns.route(ask, None)
    fields = {**body.model_dump(), "provider": provider.name, "model": model}
    return Status(201, await db.run(assistants.create_assistant, request.user, fields))


@router.get("/assistants", response={200: AssistantPage, **problems("invalid_cursor", "invalid_request")})
async def list_assistants(request: ApiRequest, limit: Limit = 20, cursor: Cursor = None) -> dict[str, Any]:
    """Your assistants, newest first."""
    items, next_cursor = await db.run(assistants.assistants_page, request.user, limit, cursor)
    return {"items": items, "next_cursor": next_cursor}


@router.get("/assistants/{uuid:assistant_id}", response={200: AssistantOut, **problems("assistant_not_found")})
async def get_assistant(request: ApiRequest, assistant_id: UUID) -> Assistant:
    """One assistant."""
    return await db.run(assistants.assistant_of, request.user, assistant_id)


@router.patch(
    "/assistants/{uuid:assistant_id}",
    response={200: AssistantOut, **problems(*BODY, "unknown_provider", "assistant_not_found", "assistant_exists")},
)
async def change_assistant(request: ApiRequest, assistant_id: UUID, body: AssistantPatch) -> Assistant:
    """Changes the fields that are sent; the conversations that started from it stay as they are. A new provider
    without a model takes its default model."""
    changes = known(body.model_dump(exclude_unset=True))
    if "provider" in changes:
        changes.setdefault("model", routing.provider_named(changes["provider"]).model)
    return await db.run(assistants.change_assistant, request.user, assistant_id, changes)


@router.delete("/assistants/{uuid:assistant_id}", response={204: None, **problems("assistant_not_found")})
async def delete_assistant(request: ApiRequest, assistant_id: UUID) -> Status[None]:
    """Deletes the assistant; the conversations that started from it stay as they are."""
    await db.run(assistants.delete_assistant, request.user, assistant_id)
    return Status(204, None)
