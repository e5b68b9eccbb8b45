"""The ledger in the admin: to be read. A key with entries cannot be deleted there, only revoked."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from chatproject.apikeys.models import LedgerEntry


@admin.register(LedgerEntry)
class LedgerEntryAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    list_display = ("turn_id", "key", "created_at", "tokens_reserved", "tokens", "cost_reserved", "cost", "settled_at")
    list_select_related = ("key",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("=turn_id", "=key__prefix")
    search_help_text = "The id of an answer, or the prefix of a key"
    ordering = ("-turn_id",)  # by time as well, and by an index

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False
