"""API keys in the admin: made, shown once, revoked. Never edited, and deleted by superusers alone."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.utils.translation import ngettext

from chatproject.apikeys.models import ApiKey


class StateFilter(admin.SimpleListFilter):
    title = "state"
    parameter_name = "revoked"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "Not revoked"), ("yes", "Revoked")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[ApiKey]) -> QuerySet[ApiKey]:
        if self.value() is None:
            return queryset
        return queryset.filter(revoked_at__isnull=self.value() == "no")


class IssueForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_user(self) -> User:
        user: User = self.cleaned_data["user"]
        if not user.is_active:
            raise forms.ValidationError("This user is not active: the key would be refused.")
        return user


@admin.register(ApiKey)
class ApiKeyAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = IssueForm
    list_display = ("name", "user", "prefix", "created_at", "last_used_at", "state")
    list_filter = (StateFilter, "last_used_at")
    list_select_related = ("user",)
    search_fields = ("name", "user__username", "prefix")
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    actions = ("revoke",)
    autocomplete_fields = ("user",)
    readonly_fields = ("prefix", "created_at", "last_used_at", "revoked_at", "state")

    def get_fields(self, request: HttpRequest, obj: ApiKey | None = None) -> tuple[str, ...]:
        return ("name", "user", *self.readonly_fields) if obj else ("name", "user")

    def has_change_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: ApiKey | None = None) -> bool:
        return request.user.is_active and request.user.is_superuser

    def has_revoke_permission(self, request: HttpRequest) -> bool:
        return super().has_change_permission(request)

    @admin.display(description="state")
    def state(self, key: ApiKey) -> str:
        if key.revoked_at is not None:
            return "Revoked"
        return "Active" if key.usable else "User is not active"

    @admin.action(description="Revoke selected keys", permissions=["revoke"])
    def revoke(self, request: HttpRequest, keys: QuerySet[ApiKey]) -> None:
        revoked = list(keys.filter(revoked_at__isnull=True))
        for key in revoked:
            key.revoke()
            self.log_change(request, key, "Revoked.")
        many = ngettext("%d key was revoked", "%d keys were revoked", len(revoked)) % len(revoked)
        self.message_user(request, f"{many}. A revoked key is refused from now on.", messages.SUCCESS)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: dict[str, Any] | None = None
    ) -> HttpResponse:
        one_button = {"show_save_and_add_another": False, "show_save_and_continue": False}
        return super().add_view(request, form_url, {**(extra_context or {}), **one_button})

    def save_model(self, request: HttpRequest, obj: Any, form: Any, change: bool) -> None:
        """Issues the key. `obj` becomes the stored one and takes the plain text along to response_add."""
        issued, obj.plain = ApiKey.objects.issue(user=obj.user, name=obj.name)
        obj.pk, obj.prefix, obj.created_at = issued.pk, issued.prefix, issued.created_at

    def response_add(self, request: HttpRequest, obj: Any, post_url_continue: str | None = None) -> HttpResponse:
        """Shows the key in the answer to the POST itself: a redirect would have to leave it in a URL, a cookie or
        the session, which is where the messages framework keeps its texts.
        """
        context = {
            **self.admin_site.each_context(request),
            "title": "API key created",
            "opts": self.opts,
            "key": obj,
            "plain": obj.plain,
        }
        return TemplateResponse(request, "admin/apikeys/apikey/created.html", context)
