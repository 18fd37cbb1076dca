"""Pages put together are the list."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.errors import InvalidInput
from slcolm_services.runtime.paging import page


@given(count=st.integers(0, 120), size=st.integers(0, 50))
def test_pages_put_together_are_the_list(count: int, size: int) -> None:
    items = list(range(count))
    found: list[int] = []
    token = ""
    while True:
        part, token = page(items, size, token)
        assert len(part) <= (size or 50)
        found += part
        if not token:
            break
    assert found == items


def test_too_large_a_page_is_cut() -> None:
    part, token = page(range(2000), 5000, "")
    assert len(part) == 1000
    assert token


@pytest.mark.parametrize(("size", "token"), [(-1, ""), (1, "x"), (1, "é"), (1, "djI6MQ==")])
def test_bad_sizes_and_foreign_tokens_are_refused(size: int, token: str) -> None:
    with pytest.raises(InvalidInput):
        page([1], size, token)
