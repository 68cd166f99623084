"""Which process has a pool of database connections: one that serves requests, each in a thread of its own.

Said in the process and not in its environment, which its children and a whole .env file share. A process with a few
lasting threads keeps their connections; with a pool each of its statements would wait the pool's time for a database
that is away, and the bridge could not end in time.
"""

_is_wanted = False


def want_pool() -> None:
    """Let this process's settings have a pool; call it before they are read."""
    global _is_wanted  # noqa: PLW0603 - one fact about the whole process
    _is_wanted = True


def is_pool_wanted() -> bool:
    """Return whether this process asked for a pool."""
    return _is_wanted
