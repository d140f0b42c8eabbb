"""The transfer curve: the standard's own points, and back."""

from __future__ import annotations

import numpy as np
import pytest

from latentdepth.synth.srgb import decoded, encoded


def test_known_points():
    # IEC 61966-2-1: the ends, the seam of both branches, and mid grey 128/255, which is 0.2158605 of full light
    assert encoded(np.array([0.0, 1.0])) == pytest.approx([0.0, 1.0])
    assert decoded(np.array([0.04045])) == pytest.approx(0.04045 / 12.92)
    assert decoded(np.array([128 / 255])) == pytest.approx(0.2158605, abs=1e-7)


def test_both_directions_undo_each_other():
    code = np.linspace(0, 1, 256)
    # the published constants leave a step of 3e-8 at the seam
    np.testing.assert_allclose(encoded(decoded(code)), code, atol=1e-7)
