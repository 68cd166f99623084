"""The daphne of the live tests serves these too."""

from tests.live.conftest import make_world, own_web, shared_web, web

__all__ = ["make_world", "own_web", "shared_web", "web"]
