"""To see that no event comes: let one come on purpose, and look at what came before it."""

from typing import Any

from tests.fakes.client import Client
from tests.fakes.ingest import Ingest
from tests.fakes.waiting import poll


def fence(client: Client, ingest: Ingest) -> list[dict[str, Any]]:
    """The events since the last fence, without the one sent on purpose, which overtakes none before it."""
    event_id = client.get("/sentry-debug").json()["sentry_event_id"]
    poll(lambda: event_id in [event["event_id"] for event in ingest.items("event")], what="event on purpose")
    events = [event for event in ingest.items("event") if event["event_id"] != event_id]
    ingest.clear()
    return events
