"""Values that are made by the thousand a second: frozen for the type checker, and quick to make at run time.

A frozen dataclass sets each field through ``object.__setattr__`` and so takes five times as long to make as one that
is not (1.7 and 0.33 µs for eleven fields). Nobody changes these either: the type checker sees a frozen dataclass and
refuses it.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dataclasses import dataclass as record
else:

    def record(*, frozen: bool, slots: bool, **options: Any) -> Any:  # noqa: ANN401 - the type checker sees another
        """Make a dataclass whose fields are not changed; the arguments are those of ``dataclass``."""
        return dataclass(slots=slots, unsafe_hash=frozen, **options)


__all__ = ["record"]
