"""The body of an import -> conversations that are ready to be stored, or a problem that says where it is wrong."""

from collections.abc import Sequence
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import from_json

from chatproject.problems import Problem
from conversations.transfer.schemas import (
    MAX_CONVERSATIONS,
    MAX_MESSAGES,
    ConversationIn,
    DocumentIn,
    EndIn,
    LineIn,
)

M = TypeVar("M", bound=BaseModel)

SHOWN = 20
"""Errors that a problem document lists."""


def parse_document(body: bytes) -> list[ConversationIn]:
    """Raises Problem `invalid_json` or `invalid_request`, as does `parse_lines`."""
    document = validated(DocumentIn, loaded(body, "The body"))
    compare(document, document.conversations)
    return within_limits(document.conversations)


def parse_lines(body: bytes) -> list[ConversationIn]:
    found: list[ConversationIn] = []
    end: EndIn | None = None
    for number, line in enumerate(body.split(b"\n"), 1):
        if not line.strip():
            continue
        if end:
            raise wrong([(f"line {number}", "comes after the line with the counts, which is the last")])
        parsed = parse_line(line, number)
        if isinstance(parsed, EndIn):
            end = parsed
        else:
            found.append(parsed)
        if len(found) > MAX_CONVERSATIONS:
            break
    if end:
        compare(end, found)
    return within_limits(found)


def parse_line(line: bytes, number: int) -> LineIn | EndIn:
    """`number` counts from 1."""
    value = loaded(line, f"Line {number}")
    place = f"line {number}."
    if isinstance(value, dict) and "messages" not in value and "conversation_count" in value:
        return validated(EndIn, value, place)
    return validated(LineIn, value, place)


def loaded(text: bytes, what: str) -> Any:
    try:
        return from_json(text, allow_inf_nan=False)
    except ValueError as error:
        raise Problem("invalid_json", f"{what} cannot be parsed: {error}.") from None


def validated(kind: type[M], value: Any, place: str = "") -> M:
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False, include_context=False)
    raise wrong([at(place, e["loc"], e["msg"]) for e in found[:SHOWN]])


def at(place: str, location: Sequence[int | str], message: str) -> tuple[str, str]:
    """(field, what is wrong). A check of several fields begins its message with the name of the one to blame."""
    path = [str(step) for step in location]
    if message.startswith("Value error, "):
        message = message.removeprefix("Value error, ")
        field, colon, rest = message.partition(": ")
        if colon:
            path, message = [*path, field], rest
    return (place + ".".join(path)).rstrip(".") or "body", message


def wrong(errors: list[tuple[str, str]]) -> Problem:
    listed = [{"field": field, "message": message} for field, message in errors]
    detail = "; ".join(f"{field}: {message}" for field, message in errors)
    return Problem("invalid_request", f"{detail}.", errors=listed)


def compare(end: DocumentIn | EndIn, found: Sequence[ConversationIn]) -> None:
    """Raises `invalid_request` when the counts at the end are not those of what came before it."""
    messages = sum(len(conversation.messages) for conversation in found)
    for field, there in (("conversation_count", len(found)), ("message_count", messages)):
        if getattr(end, field) not in {None, there}:
            raise wrong([(field, f"there are {there}: something is missing. Leave the counts out to import a part")])


def within_limits(found: list[ConversationIn]) -> list[ConversationIn]:
    if len(found) > MAX_CONVERSATIONS:
        raise wrong([("conversations", f"must be at most {MAX_CONVERSATIONS:,}; import the rest in another request")])
    if sum(len(conversation.messages) for conversation in found) > MAX_MESSAGES:
        raise wrong([("messages", f"must be at most {MAX_MESSAGES:,} in all; import the rest in another request")])
    return found
