"""What one of two processes does in ``test_team.py``: ``torchrun ... team_worker.py FOLDER``.

FOLDER holds ``settings.yaml`` and prepared cases under ``cases/train`` and ``cases/validation``. The lead leaves
``seen.json``, and at the very end of it all it is killed in the middle of a training run.
"""

import hashlib
import json
import os
import signal
import sys
from pathlib import Path

import torch
import torch.distributed as distributed
from torch.utils.data import default_collate

from SpineFractureSegLib.engine.case import load_case
from SpineFractureSegLib.engine.device import Placement
from SpineFractureSegLib.engine.errors import Cancelled, UserError
from SpineFractureSegLib.engine.inference import SlicePredictor
from SpineFractureSegLib.engine.network import FractureNetwork
from SpineFractureSegLib.engine.progress import no_progress
from SpineFractureSegLib.engine.training import train
from SpineFractureSegLib.engine.training.dataset import EpochSampler, Sample, SliceDataset
from SpineFractureSegLib.engine.training.learner import Learner
from SpineFractureSegLib.engine.training.settings import read_settings
from SpineFractureSegLib.engine.training.team import Team
from SpineFractureSegLib.engine.training.validation import score_cases


def cases_of(folder: Path, part: str) -> list:
    return [load_case(path) for path in sorted((folder / "cases" / part).glob("*.npz"))]


def learned(team: Team, folder: Path, steps: int = 3) -> Learner:
    """A learner after some steps. Normalization does not see the batches, so that their division changes nothing."""
    settings = read_settings(folder / "settings.yaml")
    config = settings.training
    torch.manual_seed(0)
    learner = Learner(FractureNetwork(settings.network), config, team)
    learner.network.eval()
    cases = cases_of(folder, "train")
    dataset = SliceDataset(cases, settings.preprocessing, config.balance, config.augmentation, config.seed)
    sampler = EpochSampler(0, steps * config.batch_size, team.rank, team.size)
    samples = [dataset[item] for item in sampler]
    size = config.batch_size // team.size
    for step in range(steps):
        learner.step(Sample(*default_collate(samples[step * size : (step + 1) * size])), step, 1e-2)
    return learner


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    team = Team("cpu")
    seen = {"size": team.size}

    learner = learned(team, folder)
    torch.save({"network": learner.network.state_dict(), "loss_sums": learner.loss_sums()}, folder / f"{team.rank}.pt")
    seen["digests"] = team.gathered([_digest(learner.network)])

    # one process alone is asked to stop: both end the validation
    settings = read_settings(folder / "settings.yaml")
    predictor = SlicePredictor(
        learner.network,
        len(settings.network.outputs),
        settings.preprocessing,
        Placement(team.device, torch.float32, 4),
        should_stop=lambda: not team.is_lead,
    )
    seen["validation"] = team.gathered(
        [_ending(lambda: score_cases(predictor, _validation(folder), 9, 9, team, no_progress))]
    )

    # what the lead cannot do fails everywhere
    seen["by lead"] = team.by_lead(lambda: team.rank)
    seen["failures"] = [
        team.gathered([_ending(lambda error=error: team.by_lead(lambda: _raise(error)))])
        for error in (UserError("full"), KeyboardInterrupt(), OSError("no room"))
    ]

    def run(name, **options):
        parts = (settings.training, settings.network, settings.preprocessing)
        return train(*parts, cases_of(folder, "train"), _validation(folder), folder / name, device="cpu", **options)

    epochs = []
    run("whole", on_epoch=epochs.append)
    seen["epochs told"] = team.gathered([len(epochs)])
    asked = iter(range(100))
    seen["stopped"] = team.gathered(
        [_ending(lambda: run("stopped", should_stop=lambda: team.is_lead and next(asked) == 0))]
    )
    run("stopped")
    if team.is_lead:
        (folder / "seen.json").write_text(json.dumps(seen))

    def kill_in_second_epoch(done: int, total: int, stage: str) -> None:
        if (done, stage) == (2, "epoch 2"):
            os.kill(os.getpid(), signal.SIGKILL)

    run("killed", on_progress=kill_in_second_epoch)


def _validation(folder: Path) -> list:
    return cases_of(folder, "validation")


def _digest(network: torch.nn.Module) -> str:
    parts = [value.contiguous().numpy().tobytes() for value in network.state_dict().values()]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def _raise(error: BaseException) -> None:
    raise error


def _ending(work) -> str:
    try:
        work()
    except (UserError, Cancelled, KeyboardInterrupt, OSError) as error:
        return f"{type(error).__name__}: {error}"
    return "done"


if __name__ == "__main__":
    main(Path(sys.argv[1]))
    distributed.destroy_process_group()
