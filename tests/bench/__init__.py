"""Measurements of the whole service on this machine, each beside its floor in the same run: `./scripts/bench`."""
