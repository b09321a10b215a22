"""The shipped terms are those that the engine writes, and Slicer finds them."""

import numpy as np
import slicer
import vtk
from scene_test_case import SceneTestCase

from SpineFractureSegLib.engine.writers import FRACTURE, VERTEBRAE
from SpineFractureSegLib.scene.terminology import CONTEXT, loadTerminology

LABELS = {"Fracture": "fracture", "Vertebrae": "vertebra"}


class TerminologyTest(SceneTestCase):
    def setUp(self):
        super().setUp()
        loadTerminology()
        self.logic = slicer.modules.terminologies.logic()

    def test_it_is_loaded_once(self):
        loadTerminology()
        names = vtk.vtkStringArray()
        self.logic.GetLoadedTerminologyNames(names)
        self.assertEqual([names.GetValue(i) for i in range(names.GetNumberOfValues())].count(CONTEXT), 1)

    def contextsWith(self, category, kind):
        """Names of the loaded terminologies that hold this category and type, both (scheme, value, ...)."""
        return self.logic.FindTerminologyNames(*category[:2], *kind[:2], "", "", [])

    def test_the_terms_that_the_engine_writes_are_found(self):
        for segment in (FRACTURE, VERTEBRAE):
            self.assertIn(CONTEXT, self.contextsWith(segment.category, segment.type))
        self.assertNotIn(CONTEXT, self.contextsWith(FRACTURE.category, ("SCT", "72704002")))

    def test_names_and_colors_are_those_of_the_engine(self):
        for segment in (FRACTURE, VERTEBRAE):
            with self.subTest(segment.id):
                entry = slicer.vtkSlicerTerminologyEntry()
                self.assertTrue(self.logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, LABELS[segment.id], entry))
                color = np.array(entry.GetTypeObject().GetRecommendedDisplayRGBValue()) / 255
                np.testing.assert_allclose(color, segment.color, atol=1 / 255)
                found = self.logic.SerializeTerminologyEntry(entry).split("~")
                self.assertEqual(found[:4], segment.terminology.split("~")[:4])

    def test_a_fracture_can_be_given_a_region_and_a_kind(self):
        entry = slicer.vtkSlicerTerminologyEntry()
        for label in ("fracture", "compression_fracture", "osteoporotic_fracture"):
            self.assertTrue(self.logic.FindTypeInTerminologyBy3dSlicerLabel(CONTEXT, label, entry))
            self.assertTrue(entry.GetCategoryObject().GetShowAnatomy())
            self.assertEqual(entry.GetTypeObject().GetCodingSchemeDesignator(), "SCT")
