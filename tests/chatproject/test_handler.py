"""Requests of the API and of the admin, in a worker's threads."""

from pathlib import Path

from tests.conftest import StartServer


def test_a_request_of_the_api_starts_no_thread(start_server: StartServer) -> None:
    server = start_server(WEB_CONCURRENCY="1", DATABASE_THREADS="1")
    client, [worker] = server.client(), server.workers()
    assert client.post("/api/chat", json={"message": "hello"}).status_code == 200
    assert client.get("/nothing").status_code == 404  # Django makes such an answer in a thread, always the same one
    before = sorted(Path(f"/proc/{worker}/task").iterdir())
    for _ in range(20):
        assert client.post("/api/chat", json={"message": "hello"}).status_code == 200
        assert client.get("/nothing").status_code == 404
    assert sorted(Path(f"/proc/{worker}/task").iterdir()) == before
