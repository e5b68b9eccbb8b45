"""The ledger in the admin: to be read. A key with entries cannot be deleted there, only revoked."""

from typing import Any
from uuid import UUID

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest

from chatproject.apikeys.models import ApiKey, LedgerEntry
from chatproject.long_lists import LongListPaginator


@admin.register(LedgerEntry)
class LedgerEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("turn_id", "key", "created_at", "tokens_reserved", "tokens", "cost_reserved", "cost", "settled_at")
    list_select_related = ("key",)
    list_per_page = 50
    paginator = LongListPaginator
    show_full_result_count = False
    search_fields = ("=turn_id",)  # for the box to be there; see get_search_results
    search_help_text = "The id of an answer, or the prefix of a key"

    def get_ordering(self, request: HttpRequest) -> tuple[str]:
        """The newest first, by the index that there is: the ids sort by time as well."""
        return ("-created_at",) if "key__id__exact" in request.GET else ("-turn_id",)

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[LedgerEntry], search_term: str
    ) -> tuple[QuerySet[LedgerEntry], bool]:
        if not search_term:
            return queryset, False
        try:
            return queryset.filter(pk=UUID(search_term)), False
        except ValueError:
            keys = list(ApiKey.objects.filter(prefix=search_term).values_list("pk", flat=True))
            return queryset.filter(key__in=keys).order_by("-created_at"), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
