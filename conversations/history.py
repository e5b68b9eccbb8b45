"""The part of a conversation that goes along to the provider: as much of its end as the token budget holds."""

from collections.abc import Iterable
from uuid import UUID

from conversations.models import Message, Role, Status
from providers.base import ChatMessage, strings_of

PAGE = 50
MAX_MESSAGES = 200
"""However large the budget, so that a turn's cost does not grow with its conversation."""


def tokens_of(text: str) -> int:
    """About how many tokens `text` is, on the high side: a third of its UTF-8 bytes, and 4 for the role."""
    return len(text.encode()) // 3 + 4


def size_of(message: ChatMessage) -> int:
    """About how many tokens a message is."""
    return sum(map(tokens_of, strings_of(message["content"])))


def window(conversation_id: UUID, budget: int) -> list[ChatMessage]:
    """The newest messages that fit into `budget` tokens, oldest first, at most MAX_MESSAGES. Reads the database."""
    return fit(_newest_first(conversation_id), budget)


def fit(newest_first: Iterable[ChatMessage], budget: int) -> list[ChatMessage]:
    kept: list[ChatMessage] = []
    for message in newest_first:
        budget -= size_of(message)
        if budget < 0:
            break
        kept.append(message)
    while kept and kept[-1]["role"] == Role.ASSISTANT:
        kept.pop()  # an answer whose question did not fit: some providers refuse to begin with one
    return kept[::-1]


def _newest_first(conversation_id: UUID) -> Iterable[ChatMessage]:
    """In pages, since a short budget is usually full after the first."""
    messages = Message.objects.filter(conversation=conversation_id).exclude(status=Status.STREAMING).order_by("-id")
    before: UUID | None = None
    for _ in range(MAX_MESSAGES // PAGE):
        page = list((messages.filter(id__lt=before) if before else messages).values("id", "role", "content")[:PAGE])
        for row in page:
            # A turn that failed before its first token has nothing to say.
            if row["content"] or row["role"] != Role.ASSISTANT:
                yield {"role": row["role"], "content": row["content"]}
        if len(page) < PAGE:
            return
        before = page[-1]["id"]
