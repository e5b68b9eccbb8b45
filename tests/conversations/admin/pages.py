"""What the tests of the admin share: rows, and what its pages show of them."""

import re
from collections.abc import Callable
from typing import Any

from django.contrib.auth.models import Permission, User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from conversations.models import Conversation, Message, MessageAttempt
from conversations.search import indexing

LIST = "/admin/conversations/conversation/"
EVENT = "fc6d8c0c43fc4630ad850ee518f1b9d0"
HOSTILE = "</div><script>alert(1)</script>&amp;"
PNG = "data:image/png;base64,iVBORw0KGgo="


def staff(name: str, *permissions: str) -> Client:
    user = User.objects.create(username=name, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=permissions))
    client = Client()
    client.force_login(user)
    return client


def conversation(owner: User, **fields: Any) -> Conversation:
    return Conversation.objects.create(owner=owner, **{"provider": "local", "model": "small", **fields})


def answer(conversation: Conversation, **fields: Any) -> Message:
    return Message.objects.create(conversation=conversation, role="assistant", **{"content": "An answer.", **fields})


def attempt(message: Message, number: int, **fields: Any) -> MessageAttempt:
    known = {"provider": "openai", "model": "big", "started_at": timezone.now(), "latency_ms": 1234}
    return MessageAttempt.objects.create(message=message, number=number, **{**known, **fields})


def picture(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def fill(conversation: Conversation, count: int) -> None:
    Message.objects.bulk_create(
        Message(conversation=conversation, role="user", content=f"number {number}.") for number in range(1, count + 1)
    )


def page_of(client: Client, conversation: Conversation, **query: Any) -> str:
    response = client.get(reverse("admin:conversations_conversation_change", args=[conversation.pk]), query)
    assert response.status_code == 200
    return response.content.decode()


def titles(client: Client, **query: Any) -> list[str]:
    """The conversations in the list, as it shows them."""
    indexing.index_for(10)  # as every server does all the time
    response = client.get(LIST, query)
    assert response.status_code == 200, response.headers
    return re.findall(r'<th class="field-__str__"><a[^>]*>([^<]*)</a>', response.content.decode())


def article(page: str, message: Message) -> str:
    """The message's own part of the page."""
    found = re.search(rf'<article class="[^"]*" id="{message.pk}">.*?</article>', page, re.DOTALL)
    assert found
    return found[0]


def queries(act: Callable[[], object]) -> list[str]:
    with CaptureQueriesContext(connection) as captured:
        act()
    return [query["sql"] for query in captured]
