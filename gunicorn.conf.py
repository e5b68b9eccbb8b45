"""gunicorn's settings: `gunicorn` alone starts the server. https://gunicorn.org/reference/settings/"""

import os

wsgi_app = "chatproject.asgi:application"
worker_class = "asgi"
asgi_loop = "uvloop"
# A failing start-up (bad settings, no database) must stop the server, not leave it half alive.
asgi_lifespan = "on"

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# On SIGTERM live streams get this long to end by themselves; then they end as `interrupted`.
graceful_timeout = 30
# A client that has left: our own cancellation is quicker, this is the backstop.
asgi_disconnect_grace_period = 10
keepalive = 30
control_socket_disable = True
backlog = 2048


def worker_int(worker):
    """SIGINT or SIGQUIT: no grace. The turns that are cancelled now were interrupted, not left by their clients."""
    from conversations.live import registry

    registry.closing = True
