"""Keys for a server's database, made past the server: a command would take two seconds for each."""

import hashlib
import json
import secrets
from typing import Any

from tests.fakes.database import Database


def add_key(
    db: Database, user: str = "alice", scopes: tuple[str, ...] = ("chat", "read", "admin"), **fields: Any
) -> str:
    """A new key of the user, as plain text. `fields`: the columns of limits and of the expiry."""
    prefix = secrets.token_hex(4)
    plain = f"ck_{prefix}_{secrets.token_hex(20)}"
    [owner] = db.query("SELECT id FROM auth_user WHERE username = ?", user)
    columns = {
        "user_id": owner["id"],
        "name": "test",
        "prefix": prefix,
        "key_hash": hashlib.sha256(plain.encode()).hexdigest(),
        "scopes": json.dumps(scopes),
        **fields,
    }
    marks = ", ".join("?" * len(columns))
    names = ", ".join(columns)
    db.query(f"INSERT INTO apikeys_apikey ({names}, created_at) VALUES ({marks}, CURRENT_TIMESTAMP)", *columns.values())
    return plain
