"""The network's median against NumPy's, for every count that an ensemble may have."""

import numpy as np
import pytest
import torch

from latentdepth.core.median import median_


@pytest.mark.parametrize("count", range(1, 34))
def test_median_equals_numpy(count: int) -> None:
    rows = torch.randn(count, 200, generator=torch.Generator().manual_seed(count))
    expected = np.median(rows.numpy(), axis=0)
    # Selection is exact; the mean of two float32 values may differ from NumPy's by its last bit.
    np.testing.assert_allclose(median_(rows.clone()).numpy(), expected, rtol=1.2e-7)


@pytest.mark.parametrize("count", range(1, 9))
def test_median_of_every_pattern_of_zeros_and_ones(count: int) -> None:
    """The 0-1 principle: a comparison network right on all zero-one inputs is right on all inputs."""
    patterns = (torch.arange(2**count)[None] >> torch.arange(count)[:, None] & 1).float()
    assert torch.equal(median_(patterns.clone()), torch.from_numpy(np.median(patterns.numpy(), axis=0)))
