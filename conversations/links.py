"""Where people find a conversation."""

from uuid import UUID

from django.conf import settings
from django.urls import reverse


def admin_url(conversation_id: UUID) -> str | None:
    """The conversation's page in the admin; None while PUBLIC_URL does not say where that is."""
    if not settings.PUBLIC_URL:
        return None
    path = reverse("admin:conversations_conversation_change", args=[conversation_id])
    return f"{settings.PUBLIC_URL}{path}"
