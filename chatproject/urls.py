"""The routes: one API at the root (its own pages under /api), and the admin."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import defaults
from django.views.generic import RedirectView

from chatproject.api import api
from chatproject.middleware import BROWSER_PATHS
from chatproject.observability import context
from chatproject.problems import Problem

urlpatterns = [
    path("", RedirectView.as_view(pattern_name="ninja:openapi-view")),
    path("admin/", admin.site.urls),
    path("", api.urls),
]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(BROWSER_PATHS):
        return defaults.bad_request(request, exception)
    return Problem("bad_request", "The request cannot be understood; check the Host header and the URL.").response(
        request
    )


def not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if request.path_info.startswith(BROWSER_PATHS):
        return defaults.page_not_found(request, exception)
    return Problem("not_found", f"No endpoint matches this path; {DOCS}").response(request)


def server_error(request: HttpRequest) -> HttpResponse:
    """The answer to a bug of ours: by now the SDK has sent its event, whose id the user can quote."""
    if request.path_info.startswith(BROWSER_PATHS):
        return defaults.server_error(request)
    ids: dict[str, Any] = {
        "sentry_event_id": context.last_event_id(),
        "trace_id": getattr(request, "trace_id", None),
    }
    return Problem("internal_error", "It has been logged. Quote the request_id when you report it.", **ids).response(
        request
    )


DOCS = "the endpoints are listed at /api/docs."

handler400 = bad_request
handler404 = not_found
handler500 = server_error
