"""Two users never see each other's anything: a stranger walks every route with the ids of Alice's things, and gets what
he gets with ids that do not exist. The routes come from the OpenAPI document, so a new one takes part by itself.
"""

import json
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest

from tests.conftest import fake
from tests.fakes.client import Client
from tests.fakes.database import Databases
from tests.fakes.provider import Provider
from tests.fakes.server import Server

NOWHERE = "0198c9b2-f0c7-7d5c-8a4b-e3a2f0d1c2b3"
OWNED = {"conversation_id", "message_id", "assistant_id"}
"""Parameters that are ids of somebody's things, wherever they are: in a path, a query, a header, a body."""
NAMES = {"provider": "fake", "model": "echo"}
"""Path parameters that are nobody's."""
ELSEWHERE = {"ids": "conversation_id", "X-Conversation-ID": "conversation_id"}
"""Parameters under another name."""
HARMLESS = {
    *("archived", "cursor", "deleted", "format", "from", "group_by", "include_superseded", "limit", "metadata"),
    *("permanent", "pinned", "q", "role", "since", "tag", "to", "until"),
    *("Idempotency-Key", "Last-Event-ID", "last_event_id"),
}
"""Parameters that name nothing of anybody's."""
CHAT = {"message": "hello", "model": "tokens-1"}
CHATS = [{**CHAT, "conversation_id": "{conversation_id}"}, {**CHAT, "assistant_id": "{assistant_id}"}]
BODIES: dict[str, list[Any]] = {
    "": [None],
    "ConversationIn": [{"title": "mine", "assistant_id": "{assistant_id}"}],
    "ConversationPatch": [{"title": "stolen", "tags": ["stolen"], "metadata": {"stolen": True}, "pinned": True}],
    "MessageIn": [{"content": "hello", "model": "tokens-1"}],
    "FeedbackIn": [{"rating": "down", "comment": "stolen"}],
    "ChatIn": CHATS,
    "ProviderChatIn": CHATS,
    "RegenerateIn": [{"model": "tokens-1"}],
    "EditIn": [{"content": "stolen", "model": "tokens-1"}],
    "ForkIn": [{"message_id": "{message_id}"}],
    "AssistantIn": [{"name": "mine"}],
    "AssistantPatch": [{"name": "stolen", "system_prompt": "stolen"}],
    "ChatCompletionIn": [{"model": "tokens-1", "messages": [{"role": "user", "content": "hello"}]}],
}
"""Bodies for each schema that a request has; each id in one of them."""


EMPTY = '{"items": [], "next_cursor": null}'
"""What a list has for a filter that nothing fits."""


class Route(NamedTuple):
    method: str
    path: str
    operation: dict[str, Any]

    @property
    def parameters(self) -> list[dict[str, Any]]:
        return list(self.operation.get("parameters", []))

    @property
    def schema(self) -> str:
        """The name of the body's schema; empty when there is none."""
        content = self.operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        found = re.search(r"#/components/schemas/(\w+)", json.dumps(content))
        return found[1] if found else ""

    @property
    def touches_ids(self) -> bool:
        names = {ELSEWHERE.get(parameter["name"], parameter["name"]) for parameter in self.parameters}
        return bool(names & OWNED) or "_id}" in json.dumps(BODIES.get(self.schema))


@pytest.fixture(scope="module")
def site(databases: Databases, _provider: Provider) -> Iterator[Server]:
    """A server of the module's own: the walk looks at every row of its tables."""
    with Server(databases.new(), databases.keys, **fake(_provider)) as server:
        yield server


@pytest.fixture(scope="module")
def routes(site: Server) -> list[Route]:
    document = site.client().get("/api/openapi.json").json()
    items = document["paths"].items()
    return [Route(method.upper(), path, operation) for path, item in items for method, operation in item.items()]


@pytest.fixture(scope="module")
def alices(site: Server) -> dict[str, str]:
    """The ids of a conversation with a turn and a detached turn, of one of its answers, and of an assistant."""
    alice = site.client("alice")
    assistant = alice.post(
        "/api/assistants", json={"name": "secret assistant", "system_prompt": "secret prompt"}
    ).json()
    conversation = alice.conversation(title="secret title", metadata={"secret": 1}, assistant_id=assistant["id"])
    alice.say(conversation["id"], "secret words", model="echo")
    [*_, last] = alice.events(conversation["id"], "secret again", model="tokens-2", detached=True)
    return {"conversation_id": conversation["id"], "message_id": last.data["id"], "assistant_id": assistant["id"]}


def everything_of(client: Client, ids: dict[str, str]) -> Any:
    paths = ("", "/messages?include_superseded=true", f"/messages/{ids['message_id']}/attempts", "/export")
    found = [client.get(f"/api/conversations/{ids['conversation_id']}{path}").text for path in paths]
    found.append(client.get(f"/api/assistants/{ids['assistant_id']}").text)
    found.append(client.get("/api/conversations").text)
    return [re.sub(r'"exported_at": "[^"]*"', "", text) for text in found]


def ask(client: Client, route: Route, ids: dict[str, str]) -> list[tuple[int, str]]:
    """The answer to each body: its status, and its text without what differs between any two requests and the ids."""
    path = re.sub(r"\{(\w+)\}", lambda found: {**NAMES, **ids}[found[1]], route.path)
    sent: dict[str, dict[str, str]] = {"query": {}, "header": {"Content-Type": "application/json"}, "path": {}}
    for parameter in route.parameters:
        name = ELSEWHERE.get(parameter["name"], parameter["name"])
        if name in OWNED or parameter["required"]:
            sent[parameter["in"]][parameter["name"]] = ids.get(name, "secret")
    found = []
    for body in BODIES[route.schema]:
        content = json.dumps(body) if body else ""
        for name, id in ids.items():
            content = content.replace(f"{{{name}}}", id)
        response = client.http.request(
            route.method, path, params=sent["query"], headers=sent["header"], content=content or None
        )
        text = re.sub(r'"(request_id|trace_id|created|exported_at)": ("[^"]*"|\d+)', "", response.text)
        found.append((response.status_code, re.sub("|".join(ids.values()), "ID", text)))
    return found


def test_the_walk_knows_every_parameter_and_every_body(routes: list[Route]) -> None:
    """A new one has to be put into one of the tables above."""
    for route in routes:
        in_path = {p["name"] for p in route.parameters if p["in"] == "path"}
        assert in_path <= OWNED | NAMES.keys(), route.path
        assert in_path == set(re.findall(r"\{(\w+)\}", route.path)), route.path
        others = {p["name"] for p in route.parameters} - in_path
        assert others <= HARMLESS | ELSEWHERE.keys() | OWNED, route.path
        assert route.schema in BODIES, route.path


def test_a_body_that_names_an_id_is_known_to_the_walk(site: Server) -> None:
    schemas = site.client().get("/api/openapi.json").json()["components"]["schemas"]
    for name in BODIES.keys() - {""}:
        ids = {field for field in schemas[name]["properties"] if field.endswith("_id")}
        assert ids <= OWNED, name
        assert all(f"{{{id}}}" in json.dumps(BODIES[name]) for id in ids), name


def test_a_stranger_gets_what_he_gets_for_what_does_not_exist(
    site: Server, routes: list[Route], alices: dict[str, str]
) -> None:
    alice, bob = site.client("alice"), site.client("bob")
    before = everything_of(alice, alices)
    assert all("secret" in text for text in before[:2])
    nowhere = dict.fromkeys(OWNED, NOWHERE)
    walked = [route for route in routes if route.touches_ids]
    assert len(walked) >= 20
    for route in walked:
        theirs, nobodys = ask(bob, route, alices), ask(bob, route, nowhere)
        assert theirs == nobodys, (route.method, route.path)
        assert "secret" not in str(theirs), (route.method, route.path)
        found = [answer for answer in theirs if answer[0] != 404]
        assert found in ([], [(200, EMPTY)]), (route.method, route.path)
    assert everything_of(alice, alices) == before


def test_a_stranger_finds_nothing_in_any_list(site: Server, routes: list[Route], alices: dict[str, str]) -> None:
    bob = site.client("bob")
    for route in routes:
        if route.method == "GET" and "{" not in route.path and route.path != "/sentry-debug":
            response = bob.get(route.path, params={"q": "secret"} if route.path.endswith("/search") else {})
            assert response.status_code == 200, (route.path, response.text)
            assert "secret" not in response.text, route.path
            assert not [id for id in alices.values() if id in response.text], route.path


@pytest.mark.parametrize("key", [None, "ck_aaaaaaaa_" + "b" * 40])
def test_without_a_key_of_ours_no_route_says_whether_an_id_exists(
    site: Server, routes: list[Route], alices: dict[str, str], key: str | None
) -> None:
    nobody = site.client_with(key)
    for route in routes:
        if route.touches_ids:
            assert {status for status, _ in ask(nobody, route, alices)} == {401}, (route.method, route.path)


def test_the_walk_sees_a_route_that_tells(alices: dict[str, str], site: Server, routes: list[Route]) -> None:
    """The comparison itself: for Alice, who may see them, every one of these routes does answer otherwise."""
    alice = site.client("alice")
    nowhere = dict.fromkeys(OWNED, NOWHERE)
    for route in routes:
        if route.touches_ids and route.method == "GET":
            assert ask(alice, route, alices) != ask(alice, route, nowhere), route.path
