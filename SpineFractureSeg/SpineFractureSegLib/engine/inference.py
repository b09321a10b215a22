"""Slices through the network in batches: windows, context channels, progress, cancel, and what to do without memory.

The answers are probabilities (logistic function of the network's logits), averaged over overlapping windows.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from SpineFractureSegLib.engine.device import Placement, is_out_of_memory, smaller_placement
from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.engine.intensity import normalize_hu
from SpineFractureSegLib.engine.network import fuse_for_inference
from SpineFractureSegLib.engine.preprocessing import AIR_HU, Preprocessing
from SpineFractureSegLib.engine.progress import (
    ProgressCallback,
    StopQuery,
    never_stop,
    no_progress,
    raise_if_stopped,
)
from SpineFractureSegLib.engine.slices import AXIS_OF_PLANE, WindowTiling, context_indices, context_offsets, to_plane


class SlicePredictor:
    """One network, ready to answer slices of one volume after the other. The caller's network is not touched.

    Args:
        network: maps (B, C, H, W) to logits (B, outputs, H, W).
        outputs: number of output channels.
        preprocessing: as the network was trained with.
        placement: device, precision and batch size to begin with.

    Attributes:
        placement: the one in use; smaller than at first when memory ran out.
        warnings: what the user must be told of that, one sentence each.
    """

    def __init__(
        self,
        network: nn.Module,
        outputs: int,
        preprocessing: Preprocessing,
        placement: Placement,
        on_progress: ProgressCallback = no_progress,
        should_stop: StopQuery = never_stop,
    ) -> None:
        self.placement = placement
        self.preprocessing = preprocessing
        self.warnings: list[str] = []
        self._outputs = outputs
        self._network = fuse_for_inference(network)
        try:
            self._place()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            self.placement = replace(placement, batch_size=1)  # no room for the weights: no batch is small enough
            self._retreat()
        self._on_progress, self._should_stop = on_progress, should_stop

    @torch.inference_mode()
    def predict(
        self,
        hu: np.ndarray,
        plane: str,
        region: Sequence[tuple[int, int]],
        indices: Sequence[int],
        stage: str,
        overlap: float = 0.5,
    ) -> np.ndarray:
        """Probabilities of some slices of one plane.

        Args:
            hu: (Z, Y, X) on the working grid, HU; context and windows may reach beyond the region.
            plane: whose slices.
            region: (start, stop) along z, y and x: the rectangle to answer is what it leaves of a slice.
            indices: which slices, counted in the volume.
            stage: name of this work in the progress.
            overlap: the least part of a window that its neighbour covers too.

        Returns: float32 (outputs, N, rows, columns). Windows without anything but air are 0 without being run.

        Raises: Cancelled; UserError, when memory does not suffice on the CPU either.
        """
        stack = to_plane(_shared(hu), plane)
        rows, columns = (region[axis] for axis in range(3) if axis != AXIS_OF_PLANE[plane])
        window_size = self.preprocessing.window_size
        stride = tuple(max(1, int(size * (1 - overlap))) for size in window_size)
        tiling = WindowTiling(stack.shape[1:], rows, columns, window_size, stride)

        offsets = context_offsets(self.preprocessing.context_mm, self.preprocessing.spacing_mm)
        slices, channels = np.unique(context_indices(indices, offsets, len(stack)), return_inverse=True)
        channels = channels.reshape(len(indices), len(offsets))  # numpy 1.26 returns it flat

        air = normalize_hu(torch.tensor(AIR_HU), self.preprocessing.window_hu)

        answer = self._near(torch.zeros(self._outputs, len(indices), *tiling.shape))
        done, total = 0, len(indices) * len(tiling)
        self._on_progress(done, total, stage)
        for window in range(len(tiling)):
            block = normalize_hu(_picked(tiling.cut(stack, window, AIR_HU), slices), self.preprocessing.window_hu)
            occupied = (block != air).any(2).any(1).numpy()
            block = self._near(block.to(self.placement.precision))
            waiting = np.flatnonzero(occupied[channels].any(axis=1))
            done += len(indices) - len(waiting)
            while len(waiting):
                raise_if_stopped(self._should_stop)
                batch = waiting[: self.placement.batch_size]
                values = self._answer(block, channels[batch])
                if values is None:
                    self._retreat()
                    continue
                for index, value in zip(batch, values, strict=True):
                    tiling.add(answer[:, index], window, value.to(answer.device))
                waiting = waiting[len(batch) :]
                done += len(batch)
                self._on_progress(done, total, stage)
        self._on_progress(total, total, stage)
        return answer.cpu().numpy()

    def _answer(self, block: Tensor, channels: np.ndarray) -> Tensor | None:
        """Probabilities (B, outputs, h, w), or None where the memory did not suffice."""
        device, precision = self.placement.device, self.placement.precision
        try:
            inputs = block[torch.from_numpy(channels).to(block.device)].to(device, precision)
            return self._network(inputs.contiguous(memory_format=torch.channels_last)).float().sigmoid()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return None

    def _retreat(self) -> None:
        device = self.placement.device
        self.placement, warning = smaller_placement(self.placement)
        self.warnings.append(warning)
        if self.placement.device != device:
            self._place()
        if device.type == "cuda":
            torch.cuda.empty_cache()

    def _place(self) -> None:
        self._network.to(self.placement.device, self.placement.precision, memory_format=torch.channels_last)

    def _near(self, tensor: Tensor) -> Tensor:
        """On the device where there is room, else where it is: batches are moved as they come."""
        try:
            return tensor.to(self.placement.device)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        return tensor


def choose_planes(preprocessing: Preprocessing, names: Sequence[str] | None) -> dict[str, float]:
    """The planes to segment with their weights in the fusion, which sum to 1.

    Args:
        names: some of the model's planes; None: all of them.

    Raises: UserError, when the model was not trained on one of them.
    """
    trained = dict(zip(preprocessing.planes, preprocessing.plane_weights, strict=True))
    chosen = list(trained) if names is None else list(dict.fromkeys(names))
    if not chosen or set(chosen) - set(trained):
        raise UserError(
            f"The planes {', '.join(chosen) or 'none'} were asked for; the model knows {', '.join(trained)}."
        )
    total = sum(trained[name] for name in chosen)
    return {name: trained[name] / total for name in chosen}


def predict_planes(
    predictor: SlicePredictor, hu: np.ndarray, region: Sequence[tuple[int, int]], weights: dict[str, float]
) -> np.ndarray:
    """The planes' probabilities in the region, fused as their weighted mean: float32 (outputs, z, y, x).

    Args:
        hu: (Z, Y, X) on the working grid, HU.
        region: (start, stop) along z, y and x.
        weights: of each plane, summing to 1.

    Raises: as ``SlicePredictor.predict``.
    """
    fused = None
    for plane, weight in weights.items():
        indices = range(*region[AXIS_OF_PLANE[plane]])
        answer = predictor.predict(hu, plane, region, indices, f"{plane} slices")
        answer *= weight
        volumes = np.moveaxis(answer, 1, 1 + AXIS_OF_PLANE[plane])
        if fused is None:
            fused = volumes
        else:
            fused += volumes
    return fused


def _shared(array: np.ndarray) -> Tensor:
    """The array as a tensor, without a copy unless torch cannot take it: mirrored or read-only."""
    usable = array.flags.writeable and min(array.strides) >= 0
    return torch.from_numpy(array if usable else array.copy())


def _picked(stack: Tensor, slices: np.ndarray) -> Tensor:
    """``stack[slices]``, row by row: neighbours in memory are neighbouring slices of the sagittal plane, not pixels."""
    source = stack.numpy()
    block = np.empty((len(slices), *source.shape[1:]), source.dtype)
    for row in range(source.shape[1]):
        block[:, row] = source[:, row][slices]
    return torch.from_numpy(block)
