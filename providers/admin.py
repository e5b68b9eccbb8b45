"""The circuits that are not closed, in the admin. They are in the cache: the list is a page of our own."""

from typing import Any

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse

from providers import breaker
from providers.circuits import Key
from providers.models import Circuit


@admin.register(Circuit)
class CircuitAdmin(admin.ModelAdmin):  # type: ignore[type-arg]
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Circuit | None = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Circuit | None = None) -> bool:
        return False

    def has_close_permission(self, request: HttpRequest) -> bool:
        return request.user.is_active and request.user.is_superuser

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        closing = request.method == "POST"
        if not (self.has_close_permission(request) if closing else self.has_view_permission(request)):
            raise PermissionDenied
        if closing:
            return self._close(request)
        breaker.worker().look()
        context = {
            **self.admin_site.each_context(request),
            "title": "Circuits that are not closed",
            "opts": self.opts,
            "troubles": breaker.worker().troubles(),
            "may_close": self.has_close_permission(request),
        }
        return TemplateResponse(request, "admin/providers/circuit/list.html", context)

    def _close(self, request: HttpRequest) -> HttpResponse:
        circuit = Circuit(provider=request.POST.get("provider", ""), model=request.POST.get("model", ""))
        shared = breaker.worker().close(Key(circuit.provider, circuit.model))
        self.log_change(request, circuit, "Closed.")
        if shared:
            self.message_user(request, f"The circuit of {circuit} is closed.", messages.SUCCESS)
        else:
            text = f"The cache does not answer: the circuit of {circuit} is closed for this worker alone."
            self.message_user(request, text, messages.WARNING)
        return HttpResponseRedirect(request.path)
