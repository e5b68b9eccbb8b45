"""What an import takes: the export's format, strictly. A field that is unknown or does not fit is an error."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Literal, Self, cast
from uuid import UUID

from django.utils import timezone as now
from pydantic import AfterValidator, AwareDatetime, BaseModel, ConfigDict, Field, JsonValue, model_validator

from conversations.content import Parts, joined
from conversations.models import TITLE_LENGTH, Role, Status
from conversations.schemas import Parameters, Tags
from conversations.text import Text, storable_json
from providers.base import Part

MAX_CONVERSATIONS = 1_000
MAX_MESSAGES = 10_000
"""Both of one request: it is one transaction, and others wait for it."""

MOST_DOLLARS = 200_000
"""That a conversation has cost. Its column ends at a million, and its next turns are added to it."""

FIRST = datetime(1970, 1, 1, tzinfo=UTC)


def plausible(moment: datetime) -> datetime:
    if not FIRST <= moment <= now.now() + timedelta(days=1):
        raise ValueError("must be after 1970 and not in the future")
    return moment


Count = Annotated[int, Field(strict=True, ge=0, le=2_147_483_647)]
Yes = Annotated[bool, Field(strict=True)]
Moment = Annotated[AwareDatetime, AfterValidator(plausible)]
Object = Annotated[dict[str, JsonValue], AfterValidator(storable_json)]
Word = Annotated[Text, Field(max_length=32)]
Code = Annotated[Text, Field(max_length=64)]
CallId = Annotated[Text, Field(max_length=128)]
Name = Annotated[Text, Field(max_length=200)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class FunctionIn(Strict):
    name: Text
    arguments: Text


class ToolCallIn(Strict):
    id: Annotated[CallId, Field(min_length=1)]
    type: Literal["function"]
    function: FunctionIn
    extra_content: Object | None = None


class UsageIn(Strict):
    prompt_tokens: Count | None
    completion_tokens: Count | None
    total_tokens: Count
    estimated: Yes = False


class MessageIn(Strict):
    """Only an answer has what is below `tool_call_id`."""

    id: UUID | None = Field(None, description="What `superseded_by` refers to. The new message gets an id of its own.")
    role: Role
    content: Text
    created_at: Moment
    parts: Parts | None = None
    tool_call_id: CallId = ""
    reasoning: Text = ""
    tool_calls: Annotated[list[ToolCallIn], Field(min_length=1, fail_fast=True)] | None = None
    status: Status = Status.COMPLETED
    finish_reason: Word = ""
    error_code: Code = ""
    provider: Word = ""
    model: Name = ""
    usage: UsageIn | None = None
    cost_usd: Annotated[float, Field(strict=True, ge=0, lt=1_000_000, allow_inf_nan=False)] | None = None
    ttft_ms: Count | None = None
    latency_ms: Count | None = None
    superseded_by: UUID | None = None

    @model_validator(mode="after")
    def of_its_role(self) -> Self:
        if self.parts is not None and self.role != Role.USER:
            raise ValueError("parts: are for a user's message")
        if self.parts is not None and joined(cast(list[Part], self.parts)) != self.content:
            raise ValueError("content: must be the text of the parts, a line for each")
        if bool(self.tool_call_id) is not (self.role == Role.TOOL):
            raise ValueError("tool_call_id: is needed in a tool's result, and only there")
        if self.role != Role.ASSISTANT and (wrong := sorted(self.model_fields_set & OF_AN_ANSWER)):
            raise ValueError(f"{wrong[0]}: is for an assistant's message")
        return self


OF_AN_ANSWER = set(MessageIn.model_fields) - {"id", "role", "content", "created_at", "parts", "tool_call_id"}


class ConversationIn(Strict):
    id: UUID | None = Field(None, description="The new conversation gets an id of its own; the answer has both.")
    title: Annotated[Text, Field(max_length=TITLE_LENGTH)] = ""
    provider: Annotated[Word, Field(min_length=1)]
    model: Annotated[Name, Field(min_length=1)]
    system_prompt: Text = ""
    metadata: Object = {}
    parameters: Parameters = {}
    tags: Tags = []
    archived: Yes = False
    pinned: Yes = False
    created_at: Moment
    messages: Annotated[list[MessageIn], Field(fail_fast=True)]

    @model_validator(mode="after")
    def consistent(self) -> Self:
        if sum(message.cost_usd or 0 for message in self.messages) > MOST_DOLLARS:
            raise ValueError(f"messages: must have cost at most {MOST_DOLLARS:,} US dollars together")
        ids = [message.id for message in self.messages if message.id]
        known = set(ids)
        if len(known) < len(ids):
            raise ValueError("messages: must have distinct ids")
        for number, message in enumerate(self.messages):
            if message.superseded_by and message.superseded_by not in known:
                raise ValueError(f"messages.{number}.superseded_by: must be the id of a message of this conversation")
        return self


class Headed(Strict):
    format: Literal["ai-chat-export"]
    version: Literal[1]


class LineIn(Headed, ConversationIn):
    """A line of JSON Lines."""


class EndIn(Headed):
    """The last line of JSON Lines."""

    conversation_count: Count
    message_count: Count


class DocumentIn(Headed):
    exported_at: AwareDatetime | None = None
    conversations: Annotated[list[ConversationIn], Field(max_length=MAX_CONVERSATIONS, fail_fast=True)]
    conversation_count: Count | None = None
    message_count: Count | None = None
