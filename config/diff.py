"""What changed between two configurations. Pure."""

from dataclasses import dataclass

from sensors.wire import FlatValue

Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Diff:
    """added and removed: key to value; changed: key to (old value, new value). Keys are sorted."""

    added: FlatValue
    removed: FlatValue
    changed: dict[str, tuple[Scalar, Scalar]]

    @property
    def is_empty(self) -> bool:
        """Whether both configurations mean the same."""
        return not (self.added or self.removed or self.changed)


def diff(old: FlatValue, new: FlatValue) -> Diff:
    """Return what leads from `old` to `new`.

    Values are compared as JSON: 1 and 1.0 are the same number, 1 and true are not the same.
    """
    return Diff(
        added={key: new[key] for key in sorted(new.keys() - old.keys())},
        removed={key: old[key] for key in sorted(old.keys() - new.keys())},
        changed={key: (old[key], new[key]) for key in sorted(old.keys() & new.keys()) if not _same(old[key], new[key])},
    )


def _same(one: Scalar, other: Scalar) -> bool:
    # Python holds True == 1; JSON does not.
    return isinstance(one, bool) == isinstance(other, bool) and one == other
