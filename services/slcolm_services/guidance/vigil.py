"""Who of the holders of claims has died: whoever stands still while the observer does not.

Every process changes its row among the holders at each renewal. A holder is dead when its row has
stayed the same over several renewals of the observer's own. No clock is compared with another:
one that jumps neither ends the claims of the living nor keeps those of the dead. A machine that
stands still as a whole, or a database that is away, ages nobody: nothing is observed meanwhile.
"""

from __future__ import annotations

from collections.abc import Mapping


class Vigil:
    """Remembers what it has seen of others.

    Args:
        looks: Looks in a row without a change after which a holder is dead, beside the first.
    """

    def __init__(self, looks: int) -> None:
        self._looks = looks
        self._seen: dict[str, tuple[float, int]] = {}

    def look(self, holders: Mapping[str, float]) -> list[str]:
        """Look once more; returns who is dead.

        Args:
            holders: All of them, with what each changes when it renews.
        """
        seen = {}
        for holder, value in holders.items():
            before, unchanged = self._seen.get(holder, (None, 0))
            seen[holder] = (value, unchanged + 1 if value == before else 0)
        self._seen = seen
        return [holder for holder, (_, unchanged) in seen.items() if unchanged >= self._looks]
