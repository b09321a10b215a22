import numpy as np
import pytest
import SimpleITK as sitk

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.finetuning import taught_cases
from SpineFractureSegLib.engine.finetuning.taught_cases import prepare_cases, taught_case
from SpineFractureSegLib.engine.pipeline import RegionPrediction
from SpineFractureSegLib.engine.progress import never_stop, no_progress
from SpineFractureSegLib.engine.spine_region import SpineRegion
from SpineFractureSegLib.engine.vertebrae.instances import Bodies


@pytest.fixture
def seeing(monkeypatch):
    """The parent sees a body wherever it is denser than 200 HU, in a region that begins away from the corner."""

    def predict(hu, model, **_):
        region = SpineRegion(*((4, length) for length in hu.shape))
        labels = (hu[region.slices] > 200).astype(np.uint8)
        return RegionPrediction(region, {}, Bodies(labels, 1, None), None, [])

    monkeypatch.setattr(taught_cases, "predict_region", predict)


def test_the_parents_bodies_lie_where_it_saw_them_and_the_mask_where_it_was_drawn(cases, parent, seeing):
    case = taught_case(cases[0], parent, "cpu", never_stop)
    assert case.spacing_mm == parent.preprocessing.spacing_mm
    assert case.has_bodies
    assert case.truth["as_scanned"]
    assert (case.hu[case.bodies > 0] > 200).all()
    assert (case.hu[case.fracture_mask] > 400).mean() > 0.8
    drawn = sitk.ReadImage(str(cases[0].scan.fracture.path))
    drawn_mm3 = np.count_nonzero(sitk.GetArrayViewFromImage(drawn)) * 12
    assert case.fracture_mask.sum() * 27 == pytest.approx(drawn_mm3, rel=0.2)


def test_what_the_parent_does_not_see_is_not_taught(cases, parent, monkeypatch):
    monkeypatch.setattr(taught_cases, "predict_region", lambda *_, **__: RegionPrediction(None, {}, None, None, []))
    case = taught_case(cases[0], parent, "cpu", never_stop)
    assert not case.has_bodies
    assert case.has_fracture


def test_only_what_is_missing_is_prepared_after_an_interruption(cases, parent, seeing, tmp_path, monkeypatch):
    asked = iter([False, True])
    with pytest.raises(Cancelled):
        prepare_cases(cases, parent, tmp_path, "cpu", no_progress, lambda: next(asked))
    (first,) = tmp_path.iterdir()
    written = first.stat().st_mtime_ns
    paths = prepare_cases(cases, parent, tmp_path, "cpu", no_progress, never_stop)
    assert [load_case(path).name for path in paths] == ["p1", "p2", "p3"]
    assert paths[0] == first
    assert first.stat().st_mtime_ns == written
