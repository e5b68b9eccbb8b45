"""Holds the database against what the clients were told."""

from collections import Counter
from collections.abc import Iterable

from tests.fakes.database import Database, manage
from tests.fakes.waiting import poll
from tests.nodes.load import Outcome

LEASE = 30.0
"""Seconds in which a turn whose worker was killed gets its end, and some for a busy machine."""

WRONG_COUNTS = """
    SELECT c.id, c.message_count, c.token_count, c.failure_count, m.messages, m.tokens, m.failures
    FROM conversations_conversation c JOIN (
        SELECT conversation_id, count(*) AS messages, sum(coalesce(total_tokens, 0)) AS tokens,
            count(*) FILTER (WHERE status = 'failed') AS failures
        FROM conversations_message GROUP BY conversation_id
    ) m ON m.conversation_id = c.id
    WHERE (c.message_count, c.token_count, c.failure_count) <> (m.messages, m.tokens, m.failures)
"""


def wait_for_ends(db: Database, seconds: float = LEASE) -> None:
    """Until no turn is left that nobody will end."""
    running = "SELECT id FROM conversations_message WHERE status = 'streaming'"
    poll(lambda: not db.query(running), seconds, "end of every turn")


def assert_nothing_lost(db: Database, turns: Iterable[Outcome]) -> None:
    """Every message that was taken is stored, once; every answer is what its reader got; nothing is counted twice."""
    rows = db.query("SELECT id, role, content, status, conversation_id FROM conversations_message")
    questions = Counter(row["content"] for row in rows if row["role"] == "user")
    answers = {str(row["id"]): row for row in rows if row["role"] == "assistant"}
    for turn in turns:
        assert questions[turn.asked] <= 1, f"stored twice: {turn}"
        if turn.accepted:
            assert turn.asked in questions, turn
            answer = answers[turn.message_id]
            assert str(answer["conversation_id"]) == turn.conversation_id
            assert answer["status"] != "streaming"
            if not turn.error:
                assert (answer["content"], answer["status"]) == (turn.text, "completed"), turn
    assert db.query(WRONG_COUNTS) == []
    assert "Every total" in manage(db.url, "check_ledger")
