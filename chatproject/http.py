"""The request as the API's views see it."""

from django.contrib.auth.models import User
from django.http import HttpRequest

from chatproject.apikeys.models import ApiKey


class ApiRequest(HttpRequest):
    """For annotations: what RequestContextMiddleware and ApiKeyAuth have set."""

    user: User
    auth: ApiKey
    request_id: str
    trace_id: str
