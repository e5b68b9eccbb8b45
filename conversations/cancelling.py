"""Ending a running turn from outside: at once when it runs in this worker, at the next look of the one that runs it."""

import asyncio
import time
from uuid import UUID

from django.contrib.auth.models import User

from chatproject import db
from conversations import leases, lookup
from conversations.live import registry
from conversations.models import Message, Status

PATIENCE = 1.5
"""Seconds that a caller waits for the end: a look of the other worker, and the storing of its answer."""

PAUSE = 0.05
"""Seconds between two looks at the message."""


async def cancel(owner: User, conversation_id: UUID, message_id: UUID) -> Message:
    """The answer, whose turn has ended; still `streaming` when that takes longer than PATIENCE.

    An answer that had ended before stays as it was. Raises what `leases.cancel_turn` raises.
    """
    message = await db.run(leases.cancel_turn, owner, conversation_id, message_id)
    registry.cancel(message_id)
    deadline = time.monotonic() + PATIENCE
    while message.status == Status.STREAMING and time.monotonic() < deadline:
        await asyncio.sleep(PAUSE)
        message = await db.run(lookup.answer_of, owner, conversation_id, message_id)
    return message
