"""The routes: one API at the root (its own pages under /api), and the admin."""

from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.views import defaults
from django.views.generic import RedirectView

from chatproject import logins
from chatproject.api import api, bug_response
from chatproject.middleware import for_browsers
from chatproject.problems import Problem

admin.site.login_form = logins.LoginForm
urlpatterns = [
    path("", RedirectView.as_view(pattern_name="ninja:openapi-view")),
    path("admin/login/", logins.login),
    path("admin/", admin.site.urls),
    path("", api.urls),
]


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if for_browsers(request.path_info):
        return defaults.bad_request(request, exception)
    return Problem("bad_request", "The request cannot be understood; check the Host header and the URL.").response(
        request
    )


def server_error(request: HttpRequest) -> HttpResponse:
    return defaults.server_error(request) if for_browsers(request.path_info) else bug_response(request)


handler400 = bad_request
handler500 = server_error
