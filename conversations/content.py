"""The content of a user's message: a text, or OpenAI's content parts, which may be images.

TypedDicts and no models: what was checked is then what is stored and what the provider gets, without a conversion.
"""

import re
from binascii import a2b_base64
from collections.abc import Mapping
from typing import Annotated, Any, Literal, NotRequired
from urllib.parse import urlsplit

from django.conf import settings
from ninja import Field
from pydantic import AfterValidator, TypeAdapter, ValidatorFunctionWrapHandler, WrapValidator, with_config
from typing_extensions import TypedDict  # pydantic takes typing's only from Python 3.12 on

from conversations.text import Text, not_blank, storable
from providers.base import Part

MAX_PARTS = 100
MAX_IMAGES = 10
MAX_URL_CHARS = 2_000

DATA_URL = re.compile(r"data:image/(png|jpeg|gif|webp);base64,")
BASE64 = re.compile(r"[A-Za-z0-9+/]*={0,2}")
WEB_URL = re.compile(r"https://[!-~]+")

MAGIC = {
    "png": re.compile(rb"\x89PNG\r\n\x1a\n"),
    "jpeg": re.compile(rb"\xff\xd8\xff"),
    "gif": re.compile(rb"GIF8[79]a"),
    "webp": re.compile(rb"RIFF....WEBP", re.DOTALL),
}
"""The first bytes of a file of each type."""


Detail = Literal["auto", "low", "high", "original"]


@with_config(extra="forbid")
class TextPart(TypedDict):
    type: Literal["text"]
    text: str


@with_config(extra="forbid")
class ImageUrl(TypedDict):
    url: Annotated[
        str,
        Field(
            description=(
                f"`https://...`, at most {MAX_URL_CHARS:,} characters, or `data:image/TYPE;base64,...` with TYPE one"
                f" of png, jpeg, gif and webp, at most {settings.CHAT_MAX_IMAGE_BYTES:,} bytes decoded."
                " This server fetches no URL: it goes to the provider as it is."
            ),
            examples=["https://example.com/cat.png"],
        ),
    ]
    detail: NotRequired[Annotated[Detail, Field(description="How closely to look.")]]


@with_config(extra="forbid")
class ImagePart(TypedDict):
    type: Literal["image_url"]
    image_url: ImageUrl


def sendable(image: ImageUrl) -> ImageUrl:
    """Refuses an image that is no https URL and no whole data URL of a type that every provider takes."""
    url = image["url"]
    if data := DATA_URL.match(url):
        check_data(data[1], url[data.end() :])
    elif not url.startswith("https://"):
        raise ValueError("the url must begin with https:// or data:image/TYPE;base64, (png, jpeg, gif or webp)")
    elif len(url) > MAX_URL_CHARS:
        raise ValueError(f"the url must have at most {MAX_URL_CHARS:,} characters")
    elif not WEB_URL.fullmatch(url) or not host_of(url):
        raise ValueError("the url must be an https URL with a host, its other characters percent-encoded")
    return image


def check_data(kind: str, encoded: str) -> None:
    """Raises ValueError unless `encoded` is base64 of an image of this kind, and not too large."""
    limit = settings.CHAT_MAX_IMAGE_BYTES
    if len(encoded) // 4 * 3 - encoded.count("=", -2) > limit:
        raise ValueError(f"the image must have at most {limit:,} bytes")
    if len(encoded) % 4 or not BASE64.fullmatch(encoded):  # the decoder itself takes more, even if it is strict
        raise ValueError("the url must hold valid base64")
    if not MAGIC[kind].match(a2b_base64(encoded[:24])):
        raise ValueError(f"the image must be of the type that its url names, image/{kind}")


def host_of(url: str) -> str | None:
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


@with_config(extra="forbid")
class TextPartIn(TypedDict):
    type: Literal["text"]
    text: Annotated[Text, AfterValidator(not_blank)]


@with_config(extra="forbid")
class ImagePartIn(TypedDict):
    type: Literal["image_url"]
    image_url: Annotated[ImageUrl, AfterValidator(sendable)]


PART_OF_TYPE: dict[str, TypeAdapter[Any]] = {"text": TypeAdapter(TextPartIn), "image_url": TypeAdapter(ImagePartIn)}


def part(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    """By its type. Pydantic's own choice would name each member of the union in an error's field."""
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(kind, str) or kind not in PART_OF_TYPE:
        raise ValueError(f"must be an object whose type is {' or '.join(PART_OF_TYPE)}")
    return PART_OF_TYPE[kind].validate_python(value)


def within_limits(parts: list[Any]) -> list[Any]:
    if len(joined(parts)) > settings.CHAT_MAX_MESSAGE_CHARS:
        raise ValueError(f"its text must have at most {settings.CHAT_MAX_MESSAGE_CHARS} characters")
    if images_in(parts) > MAX_IMAGES:
        raise ValueError(f"must have at most {MAX_IMAGES} images")
    return parts


PartIn = Annotated[TextPartIn | ImagePartIn, WrapValidator(part)]
# fail_fast: a list of a hundred thousand mistakes is one mistake.
Parts = Annotated[
    list[PartIn], Field(min_length=1, max_length=MAX_PARTS, fail_fast=True), AfterValidator(within_limits)
]
Plain = Annotated[
    str,
    Field(min_length=1, max_length=settings.CHAT_MAX_MESSAGE_CHARS),
    AfterValidator(storable),
    AfterValidator(not_blank),
]

PARTS: TypeAdapter[Any] = TypeAdapter(Parts)
PLAIN: TypeAdapter[Any] = TypeAdapter(Plain)


def text_or_parts(value: Any, text: TypeAdapter[Any], parts: TypeAdapter[Any]) -> Any:
    """By what it is; see `part`."""
    if isinstance(value, list):
        return parts.validate_python(value)
    if isinstance(value, str):
        return text.validate_python(value)
    raise ValueError("must be a string or a list of content parts")


def content(value: Any, handler: ValidatorFunctionWrapHandler) -> Any:
    return text_or_parts(value, PLAIN, PARTS)


Content = Annotated[
    Plain | Parts,
    WrapValidator(content),
    Field(description=f"The user's message: a text, or parts, at most {MAX_IMAGES} images among them."),
]


def split(content: Any) -> tuple[str, list[Part] | None]:
    """The text of a Content, and its parts when it is more than text."""
    if not isinstance(content, list):
        return content or "", None
    return joined(content), content if images_in(content) else None


def joined(parts: list[Part]) -> str:
    """The text parts, a line for each."""
    return "\n".join(part["text"] for part in parts if part["type"] == "text")


def images_in(content: str | list[Part] | None) -> int:
    return sum(is_image(part) for part in content) if isinstance(content, list) else 0


def is_image(part: Mapping[str, Any]) -> bool:
    return bool(part["type"] == "image_url")
