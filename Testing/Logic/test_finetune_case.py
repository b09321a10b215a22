"""Cases to fine-tune with: which can be used and why not, whose they are, and where they are found."""

import unittest
from pathlib import Path

import numpy as np
import SimpleITK as sitk
import slicer
from finetune_test_case import FinetuneTestCase
from scene_test_case import GEOMETRIES, SHAPE, block

from SpineFractureSegLib.engine.errors import UserError
from SpineFractureSegLib.scene.finetune_case import FilePair, FinetuneCase, problemOf, sceneCase, togetherProblem
from SpineFractureSegLib.scene.finetune_search import casesOfFolder, casesOfScene
from SpineFractureSegLib.scene.run_record import RunRecord, writeRecord


class ProblemTest(FinetuneTestCase):
    def test_a_drawn_pair_has_none_whatever_its_geometry_and_transform(self):
        for name, matrix in GEOMETRIES.items():
            with self.subTest(name):
                volumeNode, node = self.makePair(name)
                volumeNode.SetIJKToRASMatrix(slicer.util.vtkMatrixFromArray(matrix))
                transform = self.makeTransform()
                volumeNode.SetAndObserveTransformNodeID(transform.GetID())
                node = self.makeSegmentation({"Fracture": block()}, volumeNode)
                self.assertEqual(problemOf(sceneCase(volumeNode, node, "Fracture")), "")

    def test_an_empty_segment(self):
        volumeNode, _node = self.makePair("CT")
        empty = self.makeSegmentation({"Fracture": np.zeros(SHAPE, np.uint8)}, volumeNode)
        self.assertIn("is empty", problemOf(sceneCase(volumeNode, empty, "Fracture")))

    def test_a_segment_of_another_place(self):
        volumeNode, node = self.makePair("CT")
        far = self.makeTransform(np.array([[1.0, 0, 0, 900], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]))
        node.SetAndObserveTransformNodeID(far.GetID())
        self.assertIn("no voxel inside the volume", problemOf(sceneCase(volumeNode, node, "Fracture")))

    def test_values_that_are_no_Hounsfield_units(self):
        _volumeNode, node = self.makePair("CT")
        random = np.random.default_rng(0)
        large = self.makeVolume(random.integers(200, 900, (40, 40, 40)).astype(np.int16), name="MR")
        self.assertIn("no CT in Hounsfield units", problemOf(sceneCase(large, node, "Fracture")))

    def test_a_large_volume_is_judged_by_a_part_of_its_voxels(self):
        values = np.full((200, 200, 200), 40, np.int16)
        values[:60], values[60:90], values[150:] = -1000, -100, 700
        volumeNode = self.makeVolume(values, name="large")
        drawn = np.zeros(values.shape, np.uint8)
        drawn[160:170, 50:60, 50:60] = 1
        node = self.makeSegmentation({"Fracture": drawn}, volumeNode)
        self.assertEqual(problemOf(sceneCase(volumeNode, node, "Fracture")), "")

    def test_nodes_that_were_deleted(self):
        volumeNode, node = self.makePair("CT")
        case = sceneCase(volumeNode, node, "Fracture")
        slicer.mrmlScene.RemoveNode(volumeNode)
        self.assertIn("CT is no longer in the scene", problemOf(case))

    def test_files_that_are_gone(self):
        case = FinetuneCase("a", FilePair(Path("none.nii.gz"), Path("none_mask.nii.gz")))
        self.assertIn("no file none.nii.gz", problemOf(case))


class TogetherTest(unittest.TestCase):
    def problem(self, *rows):
        pair = FilePair(Path("a"), Path("b"))
        return togetherProblem([FinetuneCase(name, pair, patient, role) for name, patient, role in rows])

    def test_two_patients_are_enough(self):
        self.assertEqual(self.problem(("a", "1", "auto"), ("b", "2", "auto")), "")
        self.assertEqual(self.problem(("a", "1", "train"), ("b", "2", "validation")), "")
        self.assertEqual(self.problem(("a", "1", "train"), ("b", "2", "train"), ("c", "3", "auto")), "")

    def test_one_patient_is_not_however_many_cases_there_are(self):
        self.assertIn("at least two patients", self.problem(("a", "1", "auto"), ("b", "1", "auto")))

    def test_a_patient_cannot_be_on_both_sides(self):
        rows = (("a", "1", "train"), ("b", "1", "validation"), ("c", "2", "auto"))
        self.assertIn("patient 1 have different roles", self.problem(*rows))

    def test_one_is_always_held_out_and_one_learned_from(self):
        self.assertIn("No case is held out", self.problem(("a", "1", "train"), ("b", "2", "train")))
        self.assertIn("All cases are held out", self.problem(("a", "1", "validation"), ("b", "2", "validation")))

    def test_names_stand_once(self):
        self.assertIn("there twice", self.problem(("a", "1", "auto"), ("a", "2", "auto")))

    def test_a_role_that_does_not_exist_is_a_wrong_argument(self):
        with self.assertRaisesRegex(ValueError, "test"):
            FinetuneCase("a", FilePair(Path("a"), Path("b")), role="test")


class SearchTest(FinetuneTestCase):
    def test_a_patient_is_who_DICOM_says(self):
        volumeNode, node = self.makePair("CT")
        hierarchy = slicer.vtkMRMLSubjectHierarchyNode.GetSubjectHierarchyNode(slicer.mrmlScene)
        patient = hierarchy.CreateSubjectItem(hierarchy.GetSceneItemID(), "someone")
        hierarchy.SetItemAttribute(patient, "DICOM.PatientID", "4711")
        study = hierarchy.CreateStudyItem(patient, "study")
        hierarchy.SetItemParent(hierarchy.GetItemByDataNode(volumeNode), study)
        self.assertEqual(sceneCase(volumeNode, node, "Fracture").patient, "4711")
        self.assertEqual(sceneCase(volumeNode, node, "Fracture", patient="other").patient, "other")

    def test_all_pairs_of_the_scene_without_our_own_outlines_and_doubtful_ones(self):
        pairs = [self.makePair(name) for name in ("CT1", "CT2")]
        own = self.makeSegmentation({"Fracture": block()}, pairs[0][0], "own")
        writeRecord(own, RunRecord("model", "1", "cpu", "float32", 1.0, 0.5, 0.0))
        self.makeSegmentation({"L1": block(), "L2": block()}, pairs[0][0], "vertebrae")
        self.makeSegmentation({"L1": block(), "fracture L1": block()}, pairs[1][0], "both")
        found = casesOfScene()
        self.assertEqual([case.name for case in found.cases], ["CT1", "CT2", "CT2"])
        self.assertEqual(found.cases[2].source.segmentID, "fracture L1")
        self.assertEqual([line.split(":")[0] for line in found.leftOut], ["own", "vertebrae"])

    def test_a_segmentation_that_names_no_CT_gets_the_only_one(self):
        volumeNode, node = self.makePair("CT")
        node.SetNodeReferenceID(node.GetReferenceImageGeometryReferenceRole(), None)
        self.assertEqual(casesOfScene().cases[0].source.volumeID, volumeNode.GetID())
        self.makeVolume(name="another")
        self.assertEqual(casesOfScene().cases, [])

    def test_pairs_of_a_folder_with_their_patients(self):
        image, mask = sitk.Image(4, 4, 4, sitk.sitkInt16), sitk.Image(4, 4, 4, sitk.sitkUInt8)
        for name in ("p1_ct", "p2_ct", "p3_ct"):
            sitk.WriteImage(image, str(self.folder / f"{name}.nii.gz"))
        for name in ("p1_fracture", "p2_fracture"):
            sitk.WriteImage(mask, str(self.folder / f"{name}.nii.gz"))
        (self.folder / "patients.csv").write_text("scan,patient\np1,anna\np2,anna\np3,bert\n")
        found = casesOfFolder(self.folder)
        self.assertEqual([(case.name, case.patient) for case in found.cases], [("p1", "anna"), ("p2", "anna")])
        self.assertEqual(found.cases[0].source.mask.name, "p1_fracture.nii.gz")
        self.assertEqual(len(found.leftOut), 1)
        self.assertIn("p3", found.leftOut[0])

    def test_a_folder_without_pairs_is_told(self):
        with self.assertRaisesRegex(UserError, "no known layout"):
            casesOfFolder(self.folder)


if __name__ == "__main__":
    unittest.main()
