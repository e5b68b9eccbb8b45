"""gunicorn's settings: `gunicorn` alone starts the server. https://gunicorn.org/reference/settings/"""

import os
import signal

wsgi_app = "chatproject.asgi:application"
worker_class = "asgi"
asgi_loop = "uvloop"
# A failing start-up (bad settings) must stop the server, not leave it half alive.
asgi_lifespan = "on"

bind = f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '8000')}"
workers = int(os.environ.get("WEB_CONCURRENCY", "1"))

# Seconds from SIGTERM to SIGKILL; below the 30 s that Kubernetes and most others grant.
graceful_timeout = int(os.environ.get("GRACEFUL_TIMEOUT", "28"))
# How long of it live turns may go on; then they end as `interrupted`, and the rest is for storing and telling that.
turn_grace = max(graceful_timeout - 5, graceful_timeout / 2)
# A client that has left: our own cancellation is quicker, this is the backstop.
asgi_disconnect_grace_period = 10
# Idle connections are closed after so many seconds, and those that send no whole header in them.
keepalive = 5
# More is refused with 414 or 431. gunicorn reads all of it into memory: these are half a megabyte for each connection.
limit_request_line = 8190
limit_request_fields = 64
limit_request_field_size = 8190
backlog = 2048
control_socket_disable = True


def on_starting(server):
    """In the master: what the workers share has to be there before they are forked."""
    import chatproject.load  # noqa: F401


def post_fork(server, worker):
    from chatproject.load import load

    load.begin(worker.age)


def child_exit(server, worker):
    """In the master, also when the worker was killed."""
    from chatproject.load import load

    load.end(worker.age)


def post_worker_init(worker):
    """On SIGTERM, lets the live turns go on for `turn_grace`: gunicorn kills a worker that uses all of its time.

    Its listeners are closed at once, and a moment later its idle connections; no turn begins any more then. SIGINT and
    SIGQUIT give no grace, also after a SIGTERM; gunicorn's hook `worker_int` would miss that.
    """
    from chatproject import connections
    from conversations.live import LAST_MOMENT, registry

    connections.install(worker)

    def on_term():
        worker.handle_exit_signal()
        # gunicorn comes to this up to a second later; a proxy would go on sending turns here meanwhile.
        connections.stop_listening(worker)
        registry.drain()
        worker.loop.call_later(LAST_MOMENT, connections.close_idle)
        worker.loop.call_later(turn_grace, registry.interrupt_all)

    def at_once():
        # The turns that are cancelled now were interrupted, not left by their clients.
        registry.closing = True
        worker.handle_quit_signal()

    worker.loop.add_signal_handler(signal.SIGTERM, on_term)
    for number in (signal.SIGINT, signal.SIGQUIT):
        worker.loop.add_signal_handler(number, at_once)
    # The worker itself must not wait as long as its master does: a reader who takes nothing keeps his connection open,
    # and the end of the worker, where Sentry is told the rest, would be cut off with it.
    worker.cfg.set("graceful_timeout", int(turn_grace) + 1)
