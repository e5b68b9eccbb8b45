"""A turn in one call."""

from django.http.response import HttpResponseBase
from ninja import Router

from chatproject.http import ApiRequest
from chatproject.openapi import problems, sse
from conversations.api.answering import TURN, answer, ask_of
from conversations.documents import MessageOut
from conversations.schemas import ChatIn, ProviderChatIn, known

router = Router()


@router.post(
    "/chat", response={200: MessageOut, **problems(*TURN, "assistant_not_found")}, openapi_extra=sse(), tags=["chat"]
)
async def chat(request: ApiRequest, body: ChatIn) -> HttpResponseBase:
    """One call for a turn: creates the conversation when none is named. The answer bears its conversation_id."""
    return await chat_turn(request, body, body.provider)


@router.post(
    "/chat/{provider}",
    response={200: MessageOut, **problems(*TURN, "assistant_not_found")},
    openapi_extra=sse(),
    tags=["chat"],
)
async def chat_with_provider(request: ApiRequest, provider: str, body: ProviderChatIn) -> HttpResponseBase:
    """The same with the provider in the path."""
    return await chat_turn(request, body, provider)


async def chat_turn(request: ApiRequest, body: ProviderChatIn, provider: str | None) -> HttpResponseBase:
    ask = ask_of(body, body.message, provider)
    new = known(body.model_dump(include={"system_prompt", "metadata", "assistant_id"}, exclude_unset=True))
    return await answer(request, ask, body.conversation_id, new, content_field="message")
