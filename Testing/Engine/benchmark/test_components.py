import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from SpineFractureSegLib.engine.benchmark.components import describe_components
from SpineFractureSegLib.engine.postprocess import remove_small_components


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 10_000), st.integers(0, 9))
def test_the_sums_are_those_of_the_mask_without_small_components(seed, min_voxels):
    rng = np.random.default_rng(seed)
    mask = rng.random((7, 8, 9)) < 0.12
    truth = rng.random(mask.shape) < 0.1
    uncertain = (rng.random(mask.shape) < 0.1) & ~truth
    kept = remove_small_components(mask, min_voxels, 1.0)
    parts = describe_components(mask, truth, uncertain).of_size(min_voxels)
    assert parts.voxels.sum() == kept.sum()
    assert parts.known.sum() == (kept & ~uncertain).sum()
    assert parts.overlap.sum() == (kept & truth).sum()
    labels, count = ndimage.label(kept, np.ones((3, 3, 3)))
    touched = np.unique(labels[truth | uncertain])
    assert parts.false.sum() == count - np.count_nonzero(touched)


def test_an_empty_mask_has_no_components():
    nothing = np.zeros((3, 3, 3), bool)
    parts = describe_components(nothing, ~nothing, nothing).of_size(0)
    assert (len(parts.voxels), parts.false.sum()) == (0, 0)
