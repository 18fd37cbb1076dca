"""The range maximum is the maximum of the range."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from slcolm_services.training.model import RangeMax


@given(data=st.data(), texts=st.integers(1, 3), length=st.integers(1, 40))
def test_equals_brute_force_for_every_range(data: st.DataObject, texts: int, length: int) -> None:
    hidden = torch.randn(texts, length, 5, generator=torch.Generator().manual_seed(length))
    asked = data.draw(
        st.lists(
            st.tuples(st.integers(0, texts - 1), st.integers(0, length), st.integers(0, length)),
            min_size=1,
        )
    )
    found = RangeMax(hidden, 7)(*torch.tensor(asked).T)
    for (text, start, end), row in zip(asked, found, strict=True):
        expected = hidden[text, start:end].amax(dim=0) if start < end else torch.zeros(5)
        torch.testing.assert_close(row, expected, rtol=0, atol=0)
