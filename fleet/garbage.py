"""Python's cyclic garbage collector, for processes that make many objects at once and few cycles."""

import gc
from typing import Final

# Objects that may be made before the youngest ones are looked through. A batch makes tens of thousands, none of them in
# a cycle: with Python's 700 the collector took half of the worker's time and a tenth of the bridge's.
OBJECTS: Final = 20_000


def collect_less() -> None:
    """Look for cycles less often, and never again among what is there now; call it when everything is loaded."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(OBJECTS, 20, 20)
