"""Whether Sentry's API has the event: the only proof that it was stored. API: https://docs.sentry.io/api/

All requests go through the `Get` that is handed in, so nothing here knows of sockets or of the token.
"""

import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from chatproject.observability.doctor.verdicts import Outcome, diagnose

Get = Callable[[str], Outcome]
"""Answers a GET of a path below the API's base URL, with the token."""

PAGES = 20
"""Pages of projects to look through, of 100 each."""
FIRST_PAUSE, LONGEST_PAUSE = 0.25, 3.0
"""Seconds between two looks: an event usually takes some seconds, and the API has rate limits."""

STORED, PENDING, FAILED = "stored", "not_stored", "unknown"

FIX_REFUSED = (
    "Make a token with scope project:read (in Sentry: User Settings > Personal Tokens) and set SENTRY_AUTH_TOKEN to it."
)
FIX_URL = (
    "Set SENTRY_URL to where Sentry's web pages are. A server without Sentry's API, such as Bugsink, cannot be asked: "
    "remove SENTRY_AUTH_TOKEN."
)
FIX_PENDING = (
    "Look at the project's inbound filters and quota (Stats & Usage); a busy server may only need a longer --wait."
)


@dataclass(frozen=True)
class Project:
    id: str
    slug: str
    organization: str


@dataclass(frozen=True)
class Storage:
    """What the API says of the event."""

    state: str
    """`stored`; `not_stored` when it never came; `unknown` when the API did not tell."""
    reason: str
    fix: str = ""
    url: str = ""
    project: Project | None = None


class ApiError(Exception):
    """The API does not answer the question: reason, fix."""

    def __init__(self, reason: str, fix: str) -> None:
        super().__init__(reason)
        self.reason, self.fix = reason, fix


class Busy(ApiError):
    """Trouble that may pass: no answer, a rate limit, a failing server."""


def look_for(
    get: Get, event_id: str, seconds: float, *, organization: str, project: str, project_id: str, web_url: str
) -> Storage:
    """Asks for the event until it is there or `seconds` are over.

    `organization` and `project` are slugs, or empty; `project_id` is the DSN's; `web_url` is where the web pages are.
    """
    found = None
    try:
        found = find_project(get, organization, project, project_id)
        if found.id != project_id:
            return Storage(FAILED, "SENTRY_PROJECT is not the DSN's project.", "Correct one of them.", project=found)
        event = wait_for_event(get, found, event_id, seconds)
    except ApiError as error:
        return Storage(FAILED, error.reason, error.fix, project=found)
    if event is None:
        reason = f"The API of project {found.slug} does not have the event after {seconds:g} s."
        return Storage(PENDING, reason, FIX_PENDING, project=found)
    reason = f"The API of project {found.slug} has the event."
    return Storage(STORED, reason, url=link(event, found, web_url), project=found)


def find_project(get: Get, organization: str, project: str, project_id: str) -> Project:
    """The project by its slugs, or else by its number among all that the token sees. Raises ApiError."""
    if organization and project:
        document = document_of(get(f"projects/{quote(organization, safe='')}/{quote(project, safe='')}/"))
        if not isinstance(document, dict):
            raise ApiError(
                f"The API knows no project {organization}/{project}, or hides it from this token.",
                "Check SENTRY_ORG and SENTRY_PROJECT (the slugs in its URL), and the token's scope project:read.",
            )
        return Project(str(document.get("id", "")), str(document.get("slug") or project), organization)
    for row in projects(get):
        owner = slug_of(row.get("organization")) or organization
        if str(row.get("id")) == project_id and organization in {"", owner} and owner:
            return Project(project_id, str(row.get("slug", "")), owner)
    raise ApiError(
        f"The token sees no project with the DSN's number {project_id}.",
        "Set SENTRY_ORG and SENTRY_PROJECT, or use a token with scope project:read of a member of the project's team.",
    )


def projects(get: Get) -> Iterator[dict[str, Any]]:
    """All projects that the token sees, page by page. Raises ApiError."""
    path = "projects/"
    for _ in range(PAGES):
        outcome = get(path)
        rows = document_of(outcome)
        if not isinstance(rows, list):
            raise no_api(outcome)
        yield from (row for row in rows if isinstance(row, dict))
        following = re.search(r'rel="next"; results="true"; cursor="([^"]+)"', outcome.headers.get("link", ""))
        if not following:
            return
        path = f"projects/?cursor={quote(following[1], safe='')}"


def wait_for_event(get: Get, project: Project, event_id: str, seconds: float) -> dict[str, Any] | None:
    """The event as the API has it; None when it did not come. Raises ApiError when asking again cannot help."""
    path = f"projects/{quote(project.organization, safe='')}/{quote(project.slug, safe='')}/events/{event_id}/"
    deadline, pause = time.monotonic() + seconds, FIRST_PAUSE
    while True:
        trouble = None
        try:
            document = document_of(get(path))
            if isinstance(document, dict) and str(document.get("eventID")).replace("-", "") == event_id:
                return document
        except Busy as error:
            trouble = error
        if time.monotonic() + pause > deadline:
            if trouble:
                raise trouble
            return None
        time.sleep(pause)
        pause = min(pause * 1.5, LONGEST_PAUSE)


def document_of(outcome: Outcome) -> Any:
    """The JSON of an answer; None for 404. Raises ApiError, or Busy when the trouble may pass."""
    if outcome.status == 404 and not outcome.is_page:
        return None
    if outcome.status in {401, 403}:
        raise ApiError(f"The API refuses the token (HTTP {outcome.status}).", FIX_REFUSED)
    if outcome.failure or outcome.status == 429 or (outcome.status or 0) >= 500:
        raise Busy(f"The API does not answer: {diagnose(outcome).reason}", "Try again later, or check SENTRY_URL.")
    document = outcome.json() if outcome.status == 200 else None
    if document is None:
        raise no_api(outcome)
    return document


def no_api(outcome: Outcome) -> ApiError:
    return ApiError(f"There is no Sentry API at this address (HTTP {outcome.status}).", FIX_URL)


def link(event: dict[str, Any], project: Project, web_url: str) -> str:
    """The event's page: as the API names it, or by its issue; empty when it names neither."""
    for name in ("permalink", "web"):
        if str(event.get(name, "")).startswith(("https://", "http://")):
            return str(event[name])
    if not event.get("groupID"):
        return ""
    return f"{web_url}/organizations/{project.organization}/issues/{event['groupID']}/events/{event['eventID']}/"


def slug_of(organization: Any) -> str:
    return str(organization.get("slug", "")) if isinstance(organization, dict) else ""
