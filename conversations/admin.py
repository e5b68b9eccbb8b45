"""Conversations in the admin: a list, and each one as a transcript. Read only; the API writes them."""

from collections.abc import Iterable
from contextlib import suppress
from typing import Any
from uuid import UUID

from django.conf import settings
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.html import format_html
from django.utils.safestring import SafeString

from chatproject.long_lists import LongListPaginator
from conversations import assistants_admin as assistants_admin  # registers its page
from conversations import edits, transcript
from conversations.models import Conversation, Feedback, Message, MessageAttempt, Rating, Role, Status
from conversations.search import finding

admin.site.site_header = admin.site.site_title = "AI chat"
admin.site.index_title = "Administration"

OUTCOMES = {
    Status.FAILED: "With failures",
    Status.CANCELLED: "With cancelled turns",
    Status.INTERRUPTED: "With interrupted turns",
    Status.STREAMING: "Answering now",
}


NEWEST = 1_000
"""Messages, or ratings, whose conversations a filter or a search shows: it costs the same however many there are."""


class ProviderFilter(admin.SimpleListFilter):
    """The configured ones. Those that conversations have would have to be looked for in all of them."""

    title = "provider"
    parameter_name = "provider"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(name, name) for name in settings.CHAT_PROVIDERS]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        name = self.value()
        return queryset if name is None else queryset.filter(provider=name)


class OutcomeFilter(admin.SimpleListFilter):
    title = "outcome"
    parameter_name = "status"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(status.value, label) for status, label in OUTCOMES.items()]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        status = self.value()
        if status is None:
            return queryset
        # exclude() repeats the condition of the index `message_unfinished`, without which SQLite does not use it.
        messages = Message.objects.filter(status=status).exclude(status=Status.COMPLETED).order_by("-pk")
        return queryset.filter(pk__in=set(messages.values_list("conversation", flat=True)[:NEWEST]))


class FeedbackFilter(admin.SimpleListFilter):
    title = "feedback"
    parameter_name = "feedback"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [(Rating.DOWN.value, "With negative feedback"), (Rating.UP.value, "With positive feedback")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        rating = self.value()
        if rating is None:
            return queryset
        ratings = Feedback.objects.filter(rating=rating).order_by("-message_id")
        return queryset.filter(pk__in=set(ratings.values_list("message__conversation", flat=True)[:NEWEST]))


class DeletedFilter(admin.SimpleListFilter):
    title = "deleted by its owner"
    parameter_name = "deleted"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes, not purged yet"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> QuerySet[Conversation]:
        if self.value() not in ("yes", "no"):
            return queryset
        return queryset.filter(deleted_at__isnull=self.value() == "no")


@admin.register(Conversation)
class ConversationAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = (
        "__str__",
        "owner",
        "provider",
        "model",
        "message_count",
        "token_count",
        "failures",
        "state",
        "activity",
    )
    list_filter = (ProviderFilter, OutcomeFilter, FeedbackFilter, DeletedFilter, "archived", "last_activity_at")
    actions = ("restore",)
    list_select_related = ("owner",)
    list_per_page = 50
    paginator = LongListPaginator
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    ordering = ("-last_activity_at",)
    search_fields = ("=id",)  # for the box to be there; see get_search_results
    search_help_text = (
        'Words of a title or of a message, "phrases" in quotes; or a user name; or a conversation, request, trace or '
        "event id."
    )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Conversation], search_term: str
    ) -> tuple[QuerySet[Conversation], bool]:
        """By words and user names; only when nothing has these, by the ids that an error answer or an event names."""
        if not search_term:
            return queryset, False
        by_words = Q(pk__in=finding.conversations(search_term)) | Q(owner__in=users_called(search_term))
        found = queryset.filter(by_words)
        if not found.exists():
            found = queryset.filter(pk__in=conversations_with_id(search_term))
        return found, False

    change_form_template = "admin/conversations/conversation/transcript.html"

    class Media:
        css = {"all": ("conversations/admin.css",)}

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Conversation | None = None) -> bool:
        return request.user.is_active and request.user.is_superuser

    def delete_model(self, request: HttpRequest, obj: Conversation) -> None:
        edits.delete_conversations([obj.pk])

    def delete_queryset(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        edits.delete_conversations(list(queryset.values_list("pk", flat=True)))

    @admin.action(description="Restore selected conversations that their owners deleted", permissions=["delete"])
    def restore(self, request: HttpRequest, queryset: QuerySet[Conversation]) -> None:
        count = edits.restore_conversations(list(queryset.values_list("pk", flat=True)))
        self.message_user(request, f"Restored {count} conversations.", messages.SUCCESS)

    def get_deleted_objects(
        self, objs: Iterable[Any], request: HttpRequest
    ) -> tuple[list[str], dict[str, int], set[str], list[str]]:
        """Counts what goes along; Django's own would load and list each one."""
        names = [str(conversation) for conversation in objs]
        counts = {
            "conversations": len(names),
            "messages": Message.objects.filter(conversation__in=objs).count(),
            "attempts": MessageAttempt.objects.filter(message__conversation__in=objs).count(),
            "feedback": Feedback.objects.filter(message__conversation__in=objs).count(),
        }
        return names, counts, set(), []

    def render_change_form(
        self,
        request: HttpRequest,
        context: dict[str, Any],
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Any = None,
    ) -> HttpResponse:
        context["facts"] = transcript.facts(obj)
        context["metadata"] = transcript.metadata(obj)
        context["transcript"] = transcript.page(obj, request.GET.get("page"))
        return super().render_change_form(request, context, add, change, form_url, obj)

    @admin.display(description="failures", ordering="failure_count")
    def failures(self, conversation: Conversation) -> SafeString | int:
        count = conversation.failure_count
        return format_html('<strong class="failures">{}</strong>', count) if count else count

    @admin.display(description="last activity", ordering="last_activity_at")
    def activity(self, conversation: Conversation) -> str:
        return date_format(timezone.localtime(conversation.last_activity_at), "Y-m-d H:i")

    @admin.display(description="state", ordering="deleted_at")
    def state(self, conversation: Conversation) -> SafeString | str:
        if conversation.deleted_at is not None:
            return format_html('<strong class="deleted">{}</strong>', "Deleted")
        return ", ".join(word for word in ("archived", "pinned") if getattr(conversation, word)).capitalize()


def users_called(name: str) -> list[int]:
    """As written, or in small letters. Not whatever the case: for that every user would have to be read."""
    return list(User.objects.filter(username__in={name, name.lower()}).values_list("pk", flat=True))


def conversations_with_id(term: str) -> set[UUID]:
    """The conversation, or those in whose answers that request, trace or event is."""
    answers = Message.objects.filter(role=Role.ASSISTANT)  # as the indexes have it
    named = (
        answers.filter(request_id=term),
        answers.filter(trace_id=term),
        Message.objects.filter(sentry_event_id=term).exclude(sentry_event_id=""),
    )
    found = {id_ for rows in named for id_ in rows.order_by().values_list("conversation", flat=True)[:NEWEST]}
    with suppress(ValueError):
        found.add(UUID(term))
    return found
