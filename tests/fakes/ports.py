"""Ports on the loopback that nobody listens at."""

import socket


def free_port() -> int:
    """One to listen at, or to be refused by."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
