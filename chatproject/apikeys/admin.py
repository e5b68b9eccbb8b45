"""API keys in the admin: made, rotated, shown once, limited, revoked; deleted by superusers alone."""

from datetime import timedelta
from typing import Any, Literal

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html
from django.utils.translation import ngettext

from chatproject.apikeys import ledger, ledger_admin
from chatproject.apikeys.models import LIMITS, ApiKey
from chatproject.apikeys.scopes import SCOPES, every_scope

__all__ = ["ApiKeyAdmin", "ledger_admin"]

OVERLAP = timedelta(hours=24)
"""For which a rotated key's old secret works on; `manage.py rotate_api_key` takes any other."""


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "revoked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not revoked"), ("yes", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() is None:
            return queryset
        return queryset.filter(revoked_at__isnull=self.value() == "no")


class KeyForm(forms.ModelForm):  # type: ignore[type-arg]
    scopes = forms.MultipleChoiceField(
        choices=[(name, f"{name}: {what}") for name, what in SCOPES.items()],
        initial=every_scope,
        widget=forms.CheckboxSelectMultiple,
    )

    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if not user.is_active:
            raise forms.ValidationError("This user is not active: the key would be refused.")
        return user


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = KeyForm
    list_display = ("name", "user", "prefix", "created_at", "last_used_at", "expires_at", "state")
    list_filter = (StateFilter, "last_used_at")
    list_select_related = ("user", "replaced_by")
    search_fields = ("name", "user__username", "prefix")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("rotate", "revoke")
    autocomplete_fields = ("user",)
    readonly_fields = (
        "prefix",
        "created_at",
        "last_used_at",
        "revoked_at",
        "replaced_by",
        "state",
        "spent_today",
        "spent_this_month",
        "entries",
    )

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        fields = ("name", "user", "scopes", "expires_at", *LIMITS)
        return (*fields, *self.readonly_fields) if obj else fields

    def get_readonly_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return (*self.readonly_fields, "name", "user") if obj else self.readonly_fields

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        """Scopes, limits and expiry. A replaced secret has none of its own."""
        return super().has_change_permission(request, obj) and (obj is None or obj.replaced_by_id is None)

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.is_active and request.user.is_superuser

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    def has_rotate_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        return key.state

    @admin.display(description="spent today")
    def spent_today(self, key: ApiKey) -> str:
        return told(key, "day")

    @admin.display(description="spent this month")
    def spent_this_month(self, key: ApiKey) -> str:
        return told(key, "month")

    @admin.display(description="ledger")
    def entries(self, key: ApiKey) -> str:
        address = reverse("admin:apikeys_ledgerentry_changelist")
        return format_html('<a href="{}?key__id__exact={}">Its entries</a>', address, key.pk)

    @admin.action(description="Rotate the selected key", permissions=["rotate"])
    def rotate(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> HttpResponse | None:
        """Shows the new secret as response_add does. The old one works for another OVERLAP."""
        try:
            key, plain = ApiKey.objects.rotate(keys.get().prefix, overlap=OVERLAP)
        except (ApiKey.DoesNotExist, ApiKey.MultipleObjectsReturned):
            self.message_user(request, "Choose one key, neither revoked nor replaced.", messages.ERROR)
            return None
        self.log_change(request, key, "Rotated.")
        return self.shown(request, key, plain, "API key rotated")

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = list(keys.filter(revoked_at__isnull=True))
        for key in revoked:
            key.revoke()
            self.log_change(request, key, "Revoked.")
        many = ngettext("%d key was revoked", "%d keys were revoked", len(revoked)) % len(revoked)
        self.message_user(request, f"{many}. A revoked key is refused within seconds.", messages.SUCCESS)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Issues the key. `obj` becomes the stored one and takes the plain text along to response_add."""
        if change:
            # Not the whole row: it may have been revoked or rotated since it was read.
            obj.save(update_fields=["scopes", "expires_at", *LIMITS])
            return
        chosen = {name: form.cleaned_data[name] for name in ("user", "name", "scopes", "expires_at", *LIMITS)}
        issued, obj.plain = ApiKey.objects.issue(**chosen)
        obj.pk, obj.prefix, obj.created_at = issued.pk, issued.prefix, issued.created_at

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Shows the key in the answer to the POST itself: a redirect would have to leave it in a URL, a cookie or
        the session, which is where the messages framework keeps its texts.
        """
        return self.shown(request, obj, obj.plain, "API key created")

    def shown(self, request: HttpRequest, key: ApiKey, plain: str, title: str) -> HttpResponse:
        page = {"title": title, "opts": self.opts, "key": key, "plain": plain}
        context = {**self.admin_site.each_context(request), **page}
        return TemplateResponse(request, "admin/apikeys/apikey/created.html", context)


def told(key: ApiKey, period: Literal["day", "month"]) -> str:
    if not key.metered:
        return "not counted: the key has no limit of tokens, turns or dollars"
    spend = ledger.spend_of(key, timezone.now())
    spent, reserved = getattr(spend, period), getattr(spend, f"{period}_reserved")
    under_way = f", and ${reserved:.4f} reserved by turns under way" if reserved else ""
    return f"${spent:.4f}{under_way}"
