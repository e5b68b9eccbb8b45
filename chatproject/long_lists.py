"""The admin's lists of tables that grow without end."""

from functools import cached_property
from typing import Any

from django.core.paginator import Paginator

MOST = 10_000
"""Rows that a list counts, and leads to: to count a million takes longer than to read a page of them."""


class LongListPaginator(Paginator):  # type: ignore[type-arg]
    """Counts and shows the first MOST of a list. Its template says so when there are more."""

    @cached_property
    def count(self) -> int:
        return min(self._found, MOST)

    @property
    def cut(self) -> bool:
        return self._found > MOST

    @cached_property
    def _found(self) -> int:
        rows: Any = self.object_list  # a query set; in its order, so that an index leads to the first of them
        return int(rows[: MOST + 1].count())
