"""Assistants in the admin: staff may read and change what the API makes."""

from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest
from pydantic import TypeAdapter, ValidationError

from conversations.models import Assistant
from conversations.schemas import Parameters

PARAMETERS: TypeAdapter[Any] = TypeAdapter(Parameters)


class AssistantForm(forms.ModelForm):  # type: ignore[type-arg]
    def clean_name(self) -> str:
        """Here, since the form has no owner, of whom the model's own constraint speaks."""
        name: str = self.cleaned_data["name"]
        others = Assistant.objects.filter(owner=self.instance.owner_id, name=name).exclude(pk=self.instance.pk)
        if others.exists():
            raise forms.ValidationError("Its owner has another assistant of this name.")
        return name

    def clean_parameters(self) -> dict[str, Any]:
        """A turn takes them as they are."""
        try:
            parameters: dict[str, Any] = PARAMETERS.validate_python(self.cleaned_data["parameters"] or {})
        except ValidationError as error:
            wrong = [f"{'.'.join(map(str, e['loc'])) or 'parameters'}: {e['msg']}" for e in error.errors()]
            raise forms.ValidationError(wrong) from None
        return parameters


@admin.register(Assistant)
class AssistantAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    form = AssistantForm
    fields = (
        "owner",
        "name",
        "description",
        "provider",
        "model",
        "system_prompt",
        "parameters",
        "created_at",
        "updated_at",
    )
    readonly_fields = ("owner", "created_at", "updated_at")
    list_display = ("name", "owner", "provider", "model", "updated_at")
    list_filter = ("provider",)
    list_select_related = ("owner",)
    list_per_page = 50
    show_full_result_count = False
    search_fields = ("name", "=owner__username", "=id")

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False
