"""The import's body for the OpenAPI page: the endpoint reads it itself, off the event loop."""

from typing import Any

from conversations.transfer.schemas import DocumentIn


def import_of(json_lines: str) -> dict[str, Any]:
    """The `openapi_extra` of the import."""
    content = {
        "application/json": {"schema": whole(DocumentIn.model_json_schema())},
        json_lines: {"schema": {"type": "string", "description": "A conversation on each line."}},
    }
    return {"requestBody": {"required": True, "content": content}}


def whole(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema with its definitions put where they are referred to; none of ours refers to itself."""
    definitions = schema.pop("$defs", {})

    def resolved(value: Any) -> Any:
        if isinstance(value, list):
            return [resolved(item) for item in value]
        if not isinstance(value, dict):
            return value
        named = definitions.get(str(value.get("$ref", "")).rpartition("/")[2], {})
        return {key: resolved(item) for key, item in {**named, **value}.items() if key != "$ref"}

    found: dict[str, Any] = resolved(schema)
    return found
