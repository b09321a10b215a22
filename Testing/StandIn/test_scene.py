"""The scene behaves as in the application where slicer-core alone does not."""

import tempfile
import unittest
from pathlib import Path

import numpy as np
import slicer


def hierarchyItem(node):
    hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
    return hierarchy.GetItemByDataNode(node)


class SceneTest(unittest.TestCase):
    def test_names_of_slicer_util_are_not_in_slicer(self):
        self.assertFalse(hasattr(slicer, "loadVolume"))
        self.assertTrue(hasattr(slicer.util, "loadVolume"))

    def test_new_data_node_has_a_hierarchy_item_until_it_is_removed(self):
        node = slicer.util.addVolumeFromArray(np.zeros((2, 3, 4), np.int16))
        item = hierarchyItem(node)
        self.assertTrue(item)
        hidden = slicer.mrmlScene.CreateNodeByClass("vtkMRMLModelNode")
        hidden.UnRegister(None)
        hidden.SetHideFromEditors(True)
        slicer.mrmlScene.AddNode(hidden)
        self.assertFalse(hierarchyItem(hidden))
        slicer.mrmlScene.RemoveNode(node)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        self.assertIsNone(hierarchy.GetItemDataNode(item))

    def test_scene_bundle_keeps_voxels_segments_folders_and_no_item_twice(self):
        volume = slicer.util.addVolumeFromArray(np.arange(24, dtype=np.int16).reshape(2, 3, 4), name="CT")
        segmentation = slicer.mrmlScene.AddNewNodeByClass("vtkMRMLSegmentationNode", "outlines")
        segmentation.SetReferenceImageGeometryParameterFromVolumeNode(volume)
        segmentation.GetSegmentation().AddEmptySegment("Fracture", "Fracture", [1, 0, 0])
        mask = np.zeros((2, 3, 4), np.uint8)
        mask[1, 1:, 2] = 1
        slicer.util.updateSegmentBinaryLabelmapFromArray(mask, segmentation, "Fracture", volume)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        folder = hierarchy.CreateFolderItem(hierarchy.GetSceneItemID(), "Study")
        hierarchy.SetItemParent(hierarchyItem(volume), folder)
        count = hierarchy.GetNumberOfItems()
        with tempfile.TemporaryDirectory() as temporary:
            bundle = str(Path(temporary, "scène.mrb"))
            self.assertTrue(slicer.util.saveScene(bundle))
            slicer.mrmlScene.Clear(0)
            self.assertEqual(slicer.mrmlScene.GetNumberOfNodesByClass("vtkMRMLScalarVolumeNode"), 0)
            slicer.util.loadScene(bundle)
        volume, segmentation = slicer.util.getNode("CT"), slicer.util.getNode("outlines")
        np.testing.assert_array_equal(slicer.util.arrayFromVolume(volume).ravel(), np.arange(24))
        read = slicer.util.arrayFromSegmentBinaryLabelmap(segmentation, "Fracture", volume)
        np.testing.assert_array_equal(read, mask)
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        self.assertEqual(hierarchy.GetItemName(hierarchy.GetItemParent(hierarchyItem(volume))), "Study")
        self.assertEqual(hierarchy.GetNumberOfItems(), count)

    def test_slice_views_exist_and_survive_closing_the_scene(self):
        slicer.mrmlScene.Clear(0)
        slicer.vtkMRMLSliceNode.JumpAllSlices(slicer.mrmlScene, 1.0, 2.0, 3.0)
        offsets = {
            name: round(abs(slicer.app.layoutManager().sliceWidget(name).mrmlSliceNode().GetSliceOffset()), 3)
            for name in slicer.app.layoutManager().sliceViewNames()
        }
        self.assertEqual(offsets, {"Red": 3.0, "Green": 2.0, "Yellow": 1.0})

    def test_nothing_is_ever_installed(self):
        import SlicerStandIn

        slicer.packaging.pip_ensure("a-package-that-does-not-exist>=1", requester="test")
        self.assertEqual(SlicerStandIn.pip_installs, ["a-package-that-does-not-exist>=1"])
        SlicerStandIn.answer = False
        with self.assertRaisesRegex(RuntimeError, "declined"):
            slicer.packaging.pip_ensure("a-package-that-does-not-exist", requester="test")
        self.assertEqual(len(SlicerStandIn.pip_installs), 1)
