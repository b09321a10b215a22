import dataclasses
from collections import Counter

import numpy as np
import pytest
import torch

from SpineFractureSegLib.engine.case import MAP_FRACTURE, MAP_UNKNOWN
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.preprocessing import Preprocessing
from SpineFractureSegLib.engine.training.augmentation import NO_AUGMENTATION, Augmentation
from SpineFractureSegLib.engine.training.config import Balance
from SpineFractureSegLib.engine.training.dataset import EpochSampler, Kind, SliceDataset, is_real_negative

PREPROCESSING = Preprocessing(context_mm=(-3.0, 0.0, 3.0), window_size=(64, 48))


def dataset_of(cases, balance=None, augmentation=NO_AUGMENTATION, preprocessing=PREPROCESSING, seed=0):
    return SliceDataset(cases, preprocessing, balance or Balance(), augmentation, seed)


@pytest.fixture
def mixed(make_case):
    return [
        make_case(1),
        make_case(2),
        make_case(3, fractured=False),
        make_case(4, fractured=False, has_bodies=False),
    ]


def test_slices_are_counted_by_what_they_show(make_case):
    case = make_case(1)
    counts = dataset_of([case]).counts()
    fractured = int(case.fracture_mask.any((0, 1)).sum())
    assert counts == {"fractured": fractured, "intact": 0, "lateral": 24 - fractured, "real_negative": 0}
    intact = dataset_of([make_case(2, fractured=False)]).counts()
    assert (intact["intact"], intact["lateral"]) == (14, 10)


def test_a_slice_with_a_trace_of_fracture_is_left_out(make_case):
    case = make_case(1)
    column = int(np.flatnonzero(case.fracture_mask.any((0, 1)))[0])
    slab = case.bodies[:, :, column]
    rows, columns = np.nonzero(np.isin(slab, case.fractured))
    slab[rows[100:], columns[100:]] = 0
    assert 0 < np.isin(slab, case.fractured).sum() <= 150
    counts = dataset_of([case]).counts()
    assert sum(counts.values()) == 23


def with_two_lesions(make_case):
    """A case whose fractured bodies lie in many sagittal slices, and one with a fracture drawn in two of them."""
    bodies, thin = make_case(1), make_case(2, fractured=False)
    drawn = np.zeros(thin.hu.shape, np.uint8)
    drawn[10:30, 10:30, 21:23] = MAP_FRACTURE  # beside the bodies
    return [bodies, dataclasses.replace(thin, fracture_map=drawn)]


@pytest.mark.parametrize("evenness", [0.0, 0.5, 1.0])
def test_a_lesion_in_few_slices_is_drawn_as_often_as_it_is_asked_for(make_case, evenness):
    cases = with_two_lesions(make_case)
    slices = int(cases[0].fracture_mask.any((0, 1)).sum())
    dataset = dataset_of(cases, Balance(fractured=1.0, intact=0.0, real_negative=0.0, lesion_evenness=evenness))
    assert dataset.counts()["fractured"] == slices + 2
    thin, wide = 2 ** (1 - evenness), slices ** (1 - evenness)
    drawn = [not dataset[(0, index)].vertebra.any() for index in range(400)]
    assert np.mean(drawn) == pytest.approx(thin / (thin + wide), abs=0.07)


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_slices_of_fractured_parts_are_drawn_as_often_as_they_are_asked_for(make_case, share):
    dataset = dataset_of(
        with_two_lesions(make_case), Balance(fractured=1.0, intact=0.0, real_negative=0.0, parts=share)
    )
    samples = [dataset[(0, index)] for index in range(200)]
    assert np.mean([not sample.vertebra.any() for sample in samples]) == pytest.approx(share, abs=0.07)
    assert {int(sample.kind) for sample in samples} == {Kind.FRACTURED}


@pytest.mark.parametrize("only", [0, 1])
def test_where_fractures_are_of_bodies_alone_or_of_parts_alone_a_share_of_parts_changes_nothing(make_case, only):
    case = with_two_lesions(make_case)[only]
    with_parts, without = (
        dataset_of([case], Balance(fractured=0.5, intact=0.5, lateral=1.0, parts=parts)) for parts in (0.2, None)
    )
    for index in range(20):
        assert torch.equal(with_parts[(0, index)].image, without[(0, index)].image)


def test_evenness_must_be_a_share():
    with pytest.raises(ValueError, match=r"lesion_evenness must be in \[0, 1\], not 2"):
        Balance(lesion_evenness=2)


def test_real_negatives_are_unlabelled_cases_and_real_ones_without_fracture(make_case):
    assert is_real_negative(make_case(1, has_bodies=False))
    healthy = make_case(1, fractured=False)
    assert not is_real_negative(healthy)
    assert is_real_negative(dataclasses.replace(healthy, truth={"as_scanned": True}))
    assert not is_real_negative(dataclasses.replace(make_case(1), truth={"as_scanned": True}))


def test_samples_follow_the_balance(mixed):
    dataset = dataset_of(mixed)
    kinds = Counter(int(dataset[(0, index)].kind) for index in range(200))
    assert kinds[Kind.FRACTURED] == pytest.approx(80, abs=3)
    assert kinds[Kind.INTACT] == pytest.approx(70, abs=3)
    assert kinds[Kind.REAL_NEGATIVE] == pytest.approx(50, abs=3)


def test_kinds_without_slices_leave_their_share_to_the_others(make_case):
    dataset = dataset_of([make_case(1)])
    assert {int(dataset[(0, index)].kind) for index in range(50)} == {Kind.FRACTURED, Kind.INTACT}


def test_a_sample_depends_on_seed_epoch_and_index_alone(mixed):
    first, again = (dataset_of(mixed, augmentation=Augmentation()) for _ in range(2))
    first[(0, 3)]
    assert torch.equal(first[(1, 7)].image, again[(1, 7)].image)
    assert not torch.equal(first[(1, 7)].image, first[(2, 7)].image)
    assert not torch.equal(first[(1, 7)].image, first[(1, 8)].image)
    other_seed = dataset_of(mixed, augmentation=Augmentation(), seed=1)
    assert not torch.equal(first[(1, 7)].image, other_seed[(1, 7)].image)


def test_shapes_and_types(mixed):
    sample = dataset_of(mixed, augmentation=Augmentation())[(0, 0)]
    assert sample.image.shape == (3, 64, 48)
    assert sample.image.dtype == torch.float32
    assert 0 <= sample.image.min() <= sample.image.max() <= 1
    for mask in (sample.fracture, sample.vertebra, sample.known):
        assert mask.shape == (64, 48)
        assert mask.dtype == torch.bool


def test_what_a_sample_claims_fits_its_kind(make_case):
    cases = [
        make_case(1, uncertain=()),
        make_case(3, fractured=False),
        make_case(4, fractured=False, has_bodies=False),
    ]
    dataset = dataset_of(cases, augmentation=Augmentation())
    with_fracture = []
    for index in range(60):
        sample = dataset[(0, index)]
        assert not (sample.fracture & ~sample.vertebra).any()
        assert sample.known.all()
        if sample.kind == Kind.FRACTURED:
            with_fracture.append(bool(sample.fracture.any()))
        else:
            assert not sample.fracture.any()
        if sample.kind == Kind.REAL_NEGATIVE:
            assert sample.has_vertebrae == 0
            assert not sample.vertebra.any()
        else:
            assert sample.has_vertebrae == 1
    assert all(with_fracture)


def test_uncertain_bodies_are_not_known_but_are_vertebra(make_case):
    case = make_case(3, fractured=False, uncertain=(20, 21, 22))
    dataset = dataset_of([case], Balance(lateral=0.0))
    sample = dataset[(0, 0)]
    assert sample.vertebra.any()
    assert torch.equal(sample.known, ~sample.vertebra)
    assert not sample.fracture.any()


def test_image_and_labels_stay_together(make_case):
    case = make_case(1)
    augmentation = dataclasses.replace(NO_AUGMENTATION, rotation_sd_degrees=20.0, log_scale=0.2)
    dataset = dataset_of([case], Balance(intact=0.0), augmentation)
    for index in range(10):
        sample = dataset[(0, index)]
        center = sample.image[1]
        assert center[sample.fracture].mean() > center[sample.vertebra & ~sample.fracture].mean() + 0.2


def test_context_channels_are_the_neighbors_and_may_be_mirrored(make_case):
    case = make_case(3, fractured=False)
    case.hu[:] = np.arange(24, dtype=np.int16)[None, None, :] * 10  # each sagittal slice has its own value
    plain = dataset_of([case])[(0, 0)].image[:, 32, 24]
    mirror = dataclasses.replace(NO_AUGMENTATION, mirror_context_chance=1.0)
    mirrored = dataset_of([case], augmentation=mirror)[(0, 0)].image[:, 32, 24]
    assert plain[0] < plain[1] < plain[2]
    assert mirrored.tolist() == pytest.approx(plain.tolist()[::-1])


def test_all_planes_of_the_model_are_trained(make_case):
    three = dataclasses.replace(
        PREPROCESSING, planes=("axial", "sagittal", "coronal"), plane_weights=(1.0, 1.0, 1.0), window_size=(48, 48)
    )
    dataset = dataset_of([make_case(1)], preprocessing=three)
    assert sum(dataset.counts().values()) > 24
    assert dataset[(0, 0)].image.shape == (3, 48, 48)


def test_the_sampler_resumes_in_the_middle_of_an_epoch():
    assert list(EpochSampler(2, 5, 3)) == [(2, 3), (2, 4)]
    assert len(EpochSampler(2, 5, 3)) == 2


def test_nothing_to_train_on_and_a_wrong_spacing_are_said(make_case):
    with pytest.raises(UserError, match="nothing to train on"):
        dataset_of([])
    with pytest.raises(UserError, match=r"2\.0 mm"):
        dataset_of([dataclasses.replace(make_case(1), spacing_mm=2.0)])


def drawn_case(make_case, seed=1, **changes):
    """A case whose fracture is drawn voxel by voxel; its bodies were never labelled."""
    case = make_case(seed)
    fracture_map = np.where(case.fracture_mask, MAP_FRACTURE, 0).astype(np.uint8)
    bodies = np.zeros_like(case.bodies)
    fields = {"bodies": bodies, "fractured": (), "has_bodies": False, "fracture_map": fracture_map, **changes}
    return dataclasses.replace(case, **fields)


def test_a_drawn_mask_without_bodies_gives_the_fractures_of_the_ids_and_no_vertebra_target(make_case):
    case, drawn = make_case(1), drawn_case(make_case)
    by_id, by_mask = (dataset_of([one], Balance(intact=0.0)) for one in (case, drawn))
    assert by_mask.counts()["fractured"] == by_id.counts()["fractured"] > 0
    assert not is_real_negative(drawn)
    for index in range(5):
        sample, same = by_mask[(0, index)], by_id[(0, index)]
        assert torch.equal(sample.fracture, same.fracture)
        assert torch.equal(sample.image, same.image)
        assert (sample.has_vertebrae, same.has_vertebrae) == (0, 1)
        assert not sample.vertebra.any()
        assert sample.known.all()


def test_slices_with_bone_of_a_case_without_bodies_are_drawn_as_intact_ones(make_case):
    case = drawn_case(make_case)
    case.hu[:, :, -1] = 900  # a slice full of bone, beside the bodies
    counts = dataset_of([case]).counts()
    assert counts["intact"] == 1
    assert counts["lateral"] > 0


def test_unknown_voxels_are_not_known_whatever_the_ids_say(make_case):
    case = make_case(1)
    fracture_map = np.zeros_like(case.bodies)
    fracture_map[: case.hu.shape[0] // 2] = MAP_UNKNOWN
    dataset = dataset_of([dataclasses.replace(case, fracture_map=fracture_map, fractured=())])
    shares = [1 - dataset[(0, index)].known.float().mean().item() for index in range(20)]
    assert 0.05 < np.mean(shares) < 0.95


@pytest.mark.parametrize("share", [0.0, 0.25, 1.0])
def test_the_share_of_scanned_slices_is_kept_however_many_cases_there_are(make_case, share):
    scanned = [drawn_case(make_case, seed, truth={"as_scanned": True}) for seed in (1, 2, 3)]
    for case in scanned:
        case.hu[:] = 3000  # so that samples tell where they come from
    dataset = dataset_of([make_case(7), *scanned], Balance(intact=0.0, scanned=share))
    bright = [bool(dataset[(0, index)].image.mean() > 0.5) for index in range(200)]
    assert np.mean(bright) == pytest.approx(share, abs=0.07)


def test_a_share_of_parts_leaves_the_share_of_scanned_slices_as_it_is(make_case):
    scanned = drawn_case(make_case, 3, truth={"as_scanned": True})  # nothing but drawings: no bodies to set apart
    scanned.hu[:] = 3000
    cases = [*with_two_lesions(make_case), scanned]
    dataset = dataset_of(cases, Balance(fractured=1.0, intact=0.0, real_negative=0.0, scanned=0.5, parts=0.25))
    samples = [dataset[(0, index)] for index in range(300)]
    dark = [sample for sample in samples if sample.image.mean() < 0.5]
    assert len(dark) / len(samples) == pytest.approx(0.5, abs=0.07)
    assert np.mean([not sample.vertebra.any() for sample in dark]) == pytest.approx(0.25, abs=0.08)
