import numpy as np
import pytest

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.errors import Cancelled
from SpineFractureSegLib.engine.simulator.config import SimulationConfig
from SpineFractureSegLib.engine.simulator.generate import generate_cases, real_negative
from SpineFractureSegLib.engine.simulator.shapes import save_spine

SMALL = SimulationConfig(shape=(96, 80, 48))


@pytest.fixture
def library(made_spine, label_spine, tmp_path):
    folder = tmp_path / "library"
    folder.mkdir()
    save_spine(folder / "made.npz", made_spine)
    save_spine(folder / "labels.npz", label_spine)
    return folder


def test_cases_and_real_negatives_are_written_and_kept_by_a_second_call(library, tmp_path):
    made = generate_cases(library, "train", 3, tmp_path / "cases", config=SMALL)
    times = [path.stat().st_mtime_ns for path in made.simulated]
    assert len(made.simulated) == 3
    assert [path.name for path in made.real_negatives] == ["real-made.npz"]
    again = generate_cases(library, "train", 4, tmp_path / "cases", config=SMALL)
    assert again.simulated[:3] == made.simulated
    assert [path.stat().st_mtime_ns for path in again.simulated[:3]] == times
    assert again.simulated[3].exists()


def test_every_real_ct_comes_with_fractures_and_with_its_twin(library, tmp_path):
    config = SimulationConfig(shape=(160, 112, 64), fracture_count=(0.5, 0.5), twins=1.0)
    made = generate_cases(library, "train", 2, tmp_path / "cases", config=config)
    assert [path.name for path in made.simulated] == ["simulated-000000-made.npz", "simulated-000000-made-intact.npz"]
    case, twin = map(load_case, made.simulated)
    assert "fractured" not in twin.name
    assert twin.fractured == ()
    assert any(about["type"] != "intact" for about in case.truth["vertebrae"].values())
    assert all(about["type"] == "intact" for about in twin.truth["vertebrae"].values())


def test_a_real_negative_is_the_ct_as_it_is(made_spine):
    case = real_negative(made_spine)
    np.testing.assert_array_equal(case.hu, made_spine.hu)
    assert case.fractured == ()
    assert case.has_bodies


def test_a_cancelled_call_leaves_whole_cases_only(library, tmp_path):
    with pytest.raises(Cancelled):
        generate_cases(library, "train", 3, tmp_path / "cases", config=SMALL, should_stop=lambda: True)
    for path in (tmp_path / "cases").glob("*.npz"):
        load_case(path)
    assert not list((tmp_path / "cases").glob(".*"))
