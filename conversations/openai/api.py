"""OpenAI's endpoints. Each validates, calls one function, returns."""

from typing import Annotated, Any
from uuid import UUID

from django.http import JsonResponse
from django.http.response import HttpResponseBase
from ninja import Field, Header, Router

from chatproject.http import ApiRequest
from chatproject.problems import Problem
from conversations import turns
from conversations.api.answering import TURN
from conversations.openai import documents
from conversations.openai.documents import ChatCompletion, ListedModel, ListedModels
from conversations.openai.models import configured, listed
from conversations.openai.openapi import errors, sse
from conversations.openai.schemas import ChatCompletionIn
from conversations.openai.starting import begin
from conversations.openai.stream import CompletionStream

router = Router(tags=["openai"])

ConversationId = Annotated[
    UUID | None,
    Header(None, alias="X-Conversation-ID", description="Goes on with this conversation, whose history is stored."),
]
ModelName = Annotated[str, Field(max_length=300, description="An `id` of the list; slashes may stand in it.")]


@router.post("/chat/completions", response={200: ChatCompletion, **errors(*TURN)}, openapi_extra=sse())
async def create_chat_completion(
    request: ApiRequest, body: ChatCompletionIn, conversation_id: ConversationId = None
) -> HttpResponseBase:
    """OpenAI's chat completion, as one document or, with `stream`, as its chunks.

    Nothing is stored, unless `store` is true or the header X-Conversation-ID names a conversation; the answer then
    has the headers X-Conversation-ID and X-Message-ID.
    """
    turn = await begin(request, body, conversation_id)
    if turn.streaming:
        stream = CompletionStream(turn, usage=body.wants_usage)
        await stream.begin()
        return stream
    if problem := await turns.run(turn):
        raise problem
    return JsonResponse(
        documents.completion(turn), json_dumps_params={"ensure_ascii": False}, headers=documents.headers(turn)
    )


@router.get("/models", response={200: ListedModels, **errors()})
async def list_models(request: ApiRequest) -> dict[str, Any]:
    """Each provider's default and fallback model, as PROVIDER/MODEL. Any other model that a provider has may be named
    as well.
    """
    return {"object": "list", "data": [documents.model(target) for target in listed()]}


@router.get("/models/{path:model}", response={200: ListedModel, **errors("unknown_model", "invalid_request")})
async def get_model(request: ApiRequest, model: ModelName) -> dict[str, Any]:
    """One of the list, or what else names one: a provider, or a model by itself."""
    target = configured(model)
    if target is None:
        raise Problem("unknown_model", "No model of this name is configured; GET /v1/models lists them.", status=404)
    return documents.model(target, model)
