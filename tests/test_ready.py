"""/health/ready on a database that is not migrated."""

from tests.conftest import StartServer


def test_a_server_is_not_ready_before_its_database_is_migrated(start_server: StartServer) -> None:
    server = start_server()
    client = server.client(None)
    names = server.db.query("SELECT app, name FROM django_migrations WHERE app = 'conversations' ORDER BY id")
    server.db.query("DELETE FROM django_migrations WHERE app = 'conversations' AND name = ?", names[-1]["name"])
    for _ in range(2):
        response = client.get("/health/ready")
        assert (response.status_code, response.json()) == (503, {"status": "migrations are missing"})
    server.db.query(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('conversations', ?, CURRENT_TIMESTAMP)",
        names[-1]["name"],
    )
    response = client.get("/health/ready")
    assert (response.status_code, response.json()) == (200, {"status": "ok"})
