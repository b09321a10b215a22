import json
from pathlib import Path

import numpy as np
from PIL import Image

from SpineFractureSegLib.engine.simulator.gallery import INTACT, WORN_DISC, write_gallery
from SpineFractureSegLib.engine.simulator.height_figure import collect_ratios, summarize_ratios, write_height_figure


def test_a_sheet_per_type_shows_as_many_vertebrae_as_asked(made_spine, tmp_path: Path):
    paths = write_gallery([made_spine], tmp_path, kinds=("wedge", INTACT, WORN_DISC), count=2)
    assert [path.name for path in paths] == ["wedge.png", "intact.png", "worn_disc.png"]
    for path in paths:
        sheet = np.asarray(Image.open(path))
        left, right = sheet[16:, : sheet.shape[1] // 2 - 8], sheet[16:, sheet.shape[1] // 2 + 8 :]
        assert left.std() > 10
        assert right.std() > 10


def test_the_figure_tells_simulated_from_intact_and_real_heights(made_spine, tmp_path: Path):
    spine = type(made_spine)(**vars(made_spine) | {"genant": {23: 2}})
    groups = collect_ratios([spine], shapes=[(made_spine, {20: 3, 21: 0})])
    own = len(collect_ratios([spine])["intact"])
    assert len(groups["intact"]) == own + 1  # the control; the other bodies of its spine are not counted again
    summary = summarize_ratios(groups)
    assert summary["intact"]["anterior_posterior"]["median"] > 0.95
    assert summary["wedge"]["anterior_posterior"]["median"] < 0.9
    assert [(row["vertebra"], row["genant"]) for row in groups["real fracture"]] == [(23, 2), (20, 3)]
    picture, numbers = write_height_figure(groups, tmp_path)
    assert json.loads(numbers.read_text())["real"][0]["vertebra"] == 23
    assert np.asarray(Image.open(picture)).std() > 5
