"""Another threshold on a kept probability: the engine's own numbers, without running the engine."""

import importlib.util
import unittest

import numpy as np
import slicer
from scene_test_case import GEOMETRIES, SceneTestCase, geometry, turned

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.image_geometry import imageFromArray
from SpineFractureSegLib.scene.kept_result import KeptResult
from SpineFractureSegLib.scene.segmentation_writer import writeProbability
from SpineFractureSegLib.scene.volume_reader import ctFromVolume, ijkToWorld


def twoLesions():
    """Probabilities of a large and a small lesion, each falling off from its center; most of the array is 0."""
    indices = np.moveaxis(np.indices((30, 26, 34)), 0, -1)
    probability = np.zeros(indices.shape[:3], np.float32)
    for center, radius in (((10, 8, 9), 6.0), ((21, 17, 25), 3.5)):
        distance = np.linalg.norm(indices - np.array(center), axis=-1)
        probability += np.clip(1 - distance / radius, 0, 1).astype(np.float32) * 0.9
    return probability


class KeptResultTest(SceneTestCase):
    def assertSameAsEngine(self, kept, probability, ijkToWorld, threshold, minVolumeMm3):
        """On the whole grid with the engine's own steps."""
        import SimpleITK as sitk

        from SpineFractureSegLib.engine.ct_check import voxel_volume_mm3
        from SpineFractureSegLib.engine.findings import find_lesions
        from SpineFractureSegLib.engine.postprocess import remove_small_components, threshold_mask

        image = imageFromArray(probability, ijkToWorld)
        expected = remove_small_components(
            threshold_mask(probability, threshold), minVolumeMm3, voxel_volume_mm3(image)
        )
        expectedMask = sitk.GetImageFromArray(expected.astype(np.uint8))
        expectedMask.CopyInformation(image)
        mask, findings = kept.threshold(threshold, minVolumeMm3)
        self.assertEqual(mask.dtype, np.uint8)
        np.testing.assert_array_equal(mask, expected)
        self.assertEqual(findings, find_lesions(expectedMask, image))
        return findings

    def test_every_threshold_gives_what_the_engine_gives(self):
        probability = twoLesions()
        for name, matrix in GEOMETRIES.items():
            kept = KeptResult.fromArray(probability, matrix)
            for threshold, minVolumeMm3, count in ((0.05, 0, 2), (0.3, 0, 2), (0.85, 0, 2), (0.3, 60, 1), (0.95, 0, 0)):
                with self.subTest(name, threshold=threshold, minVolumeMm3=minVolumeMm3):
                    minVolumeMm3 *= abs(np.linalg.det(matrix[:3, :3]))
                    findings = self.assertSameAsEngine(kept, probability, matrix, threshold, minVolumeMm3)
                    self.assertEqual(len(findings), count)

    def test_only_the_box_of_the_lesions_is_kept(self):
        probability = twoLesions()
        kept = KeptResult.fromArray(probability, np.eye(4))
        self.assertLess(kept.probability.size, probability.size / 2)
        self.assertFalse(np.shares_memory(kept.probability, probability))
        self.assertEqual(kept.shape, probability.shape)

    def test_nothing_found_is_an_empty_mask(self):
        mask, findings = KeptResult.fromArray(np.zeros((3, 4, 5), np.float32), np.eye(4)).threshold(0.5, 0.0)
        self.assertEqual((mask.shape, mask.any(), findings), ((3, 4, 5), False, []))

    def test_centroids_are_in_the_world(self):
        volumeNode = self.makeVolume(twoLesions(), GEOMETRIES["oblique"])
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        kept = KeptResult.fromVolume(volumeNode)
        mask, findings = kept.threshold(0.3, 0.0)
        near = [slice(0, 16), slice(16, 30)]  # the large lesion, the small one
        for finding, slices in zip(findings, near, strict=True):
            alone = np.zeros_like(mask)
            alone[slices] = mask[slices]
            np.testing.assert_allclose(
                finding.centroid_ras_mm, self.worldPositions(volumeNode, alone).mean(axis=0), atol=2e-3
            )

    def test_a_saved_probability_is_as_good_after_loading(self):
        volumeNode = self.makeVolume(np.zeros((30, 26, 34), np.int16), GEOMETRIES["oblique"])
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        probabilityNode = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLScalarVolumeNode", "probability")
        writeProbability(probabilityNode, volumeNode, twoLesions())
        before = KeptResult.fromArray(twoLesions(), ijkToWorld(volumeNode)).threshold(0.3, 0.0)
        self.reloadScene()
        after = KeptResult.fromVolume(self.node("probability")).threshold(0.3, 0.0)
        np.testing.assert_array_equal(after[0], before[0])
        for finding, expected in zip(after[1], before[1], strict=True):
            np.testing.assert_allclose(finding.centroid_ras_mm, expected.centroid_ras_mm, atol=2e-3)
            self.assertAlmostEqual(finding.volume_mm3, expected.volume_mm3, places=2)

    def test_a_volume_that_holds_no_probability_is_refused(self):
        for values in (np.full((3, 3, 3), 40.0), np.full((3, 3, 3), -0.1), np.full((3, 3, 3), np.nan)):
            with self.assertRaises(UserError):
                KeptResult.fromVolume(self.makeVolume(values.astype(np.float32)))
        with self.assertRaises(UserError):
            KeptResult.fromVolume(None)

    def test_numbers_out_of_range_are_refused(self):
        kept = KeptResult.fromArray(twoLesions(), np.eye(4))
        for threshold, minVolumeMm3 in ((0, 0), (1, 0), (float("nan"), 0), (0.5, -1), (0.5, float("nan"))):
            with self.assertRaises(UserError):
                kept.threshold(threshold, minVolumeMm3)

    @unittest.skipUnless(importlib.util.find_spec("torch"), "needs torch")
    def test_the_models_own_threshold_gives_the_result_of_the_run(self):
        """A made network that calls bright voxels fractured, through the whole engine."""
        import SimpleITK as sitk
        import torch

        from SpineFractureSegLib.engine.model_file import Model, ModelCard
        from SpineFractureSegLib.engine.network import NetworkConfig
        from SpineFractureSegLib.engine.pipeline import segment_ct
        from SpineFractureSegLib.engine.preprocessing import Preprocessing

        class BrightIsFracture(torch.nn.Module):
            def forward(self, x):
                return (x[:, 1:2] - 0.5) * 20

        preprocessing = Preprocessing(
            planes=("sagittal",), plane_weights=(1.0,), context_mm=(-2.0, 0.0, 2.0), window_size=(64, 64)
        )
        config = NetworkConfig(width=4, input_channels=3, outputs=("fracture",))
        card = ModelCard(name="made", threshold=0.4, min_volume_mm3=30.0)
        model = Model(config, preprocessing, card, BrightIsFracture())
        hu = np.full((24, 40, 36), -1000, np.int16)
        hu[2:-2, 2:-2, 2:-2] = 40
        for box, value in (((4, 12), 900), ((15, 20), 600)):
            hu[slice(*box), 8:20, 9:22] = value
        hu[21, 30, 30] = 1500  # too small
        axes = turned(12, 0) @ turned(-8, 2) @ np.diag([1.5, -1.5, 2.0])
        volumeNode = self.makeVolume(hu, geometry(axes))
        volumeNode.SetAndObserveTransformNodeID(self.makeTransform().GetID())
        result = segment_ct(ctFromVolume(volumeNode), model, device="cpu")
        self.assertEqual(len(result.findings), 2)
        kept = KeptResult.fromArray(sitk.GetArrayFromImage(result.probability), ijkToWorld(volumeNode))
        mask, findings = kept.threshold(card.threshold, card.min_volume_mm3)
        np.testing.assert_array_equal(mask, sitk.GetArrayFromImage(result.mask))
        self.assertEqual(findings, result.findings)
