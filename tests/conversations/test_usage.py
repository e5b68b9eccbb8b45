"""What a turn has used, when its provider counts what cannot be."""

import pytest

from tests.conftest import StartServer
from tests.fakes.behaviours import PARTIAL
from tests.fakes.provider import Provider


@pytest.mark.parametrize(("model", "estimated"), [("absurd-usage", True), ("dear-usage", False)])
def test_a_count_that_cannot_be_has_no_price_and_hurts_no_later_read(
    start_server: StartServer, provider: Provider, model: str, estimated: bool
) -> None:
    openai = {"CHAT_PROVIDERS": "openai", "OPENAI_API_KEY": "k", "OPENAI_BASE_URL": provider.url}
    client = start_server(**openai, CHAT_DEFAULT_PROVIDER="openai").client()
    conversation = client.conversation()["id"]
    answer = client.say(conversation, "hello", model=model).json()
    assert (answer["content"], answer["model"], answer["status"]) == (PARTIAL, "o1-pro", "completed")
    assert answer["usage"]["estimated"] is estimated
    assert (answer["cost_usd"] is None) is not estimated
    assert client.messages(conversation)[-1] == answer
    assert client.read(conversation)["token_count"] == answer["usage"]["total_tokens"]
    assert client.say(conversation, "again", model="echo").status_code == 200
