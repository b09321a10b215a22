"""`qt` has the manners of PythonQt, so that code which fails in Slicer fails here."""

import unittest

import ctk
import qt
import SlicerStandIn


class PythonQtTest(unittest.TestCase):
    def test_property_is_an_attribute_and_no_method(self):
        button = qt.QPushButton("Apply")
        button.enabled = False
        self.assertFalse(button.enabled)
        self.assertEqual(button.text, "Apply")
        with self.assertRaisesRegex(TypeError, "not callable"):
            button.text()

    def test_property_keeps_its_setter_method(self):
        table = qt.QTableWidget()
        table.setRowCount(3)
        self.assertEqual(table.rowCount, 3)

    def test_unknown_attribute_cannot_be_set(self):
        with self.assertRaisesRegex(AttributeError, "no attribute checkd"):
            qt.QCheckBox().checkd = True
        with self.assertRaisesRegex(AttributeError, "no attribute valu"):
            ctk.ctkSliderWidget().valu = 1

    def test_class_of_the_module_may_have_its_own_attributes(self):
        class OwnLabel(qt.QLabel):
            pass

        label = OwnLabel()
        label.finding = 3
        self.assertEqual(label.finding, 3)

    def test_signature_that_does_not_exist_is_an_error(self):
        for signature in ("clickd()", "clicked(int)", "clicked"):
            with self.subTest(signature), self.assertRaisesRegex(ValueError, "no signal"):
                qt.QPushButton().connect(signature, print)

    def test_slot_gets_what_the_signature_names_and_it_takes(self):
        button, calls = qt.QPushButton(), []
        button.setCheckable(True)
        button.connect("clicked()", lambda *arguments: calls.append(arguments))
        button.connect("clicked(bool)", lambda checked: calls.append(checked))
        button.connect("clicked(bool)", lambda: calls.append("nothing"))
        button.click()
        self.assertEqual(calls, [(), True, "nothing"])

    def test_disconnected_slot_is_not_called(self):
        button, calls = qt.QPushButton(), []
        button.connect("clicked()", calls.append)
        button.disconnect("clicked()", calls.append)
        button.click()
        self.assertEqual(calls, [])

    def test_exception_in_a_slot_or_observer_is_collected(self):
        import slicer

        button = qt.QPushButton()
        button.connect("clicked()", lambda: {}["slot"])
        button.click()
        qt.QTimer.singleShot(0, lambda: {}["timer"])
        SlicerStandIn.process_events(0.02)
        tag = slicer.mrmlScene.AddObserver(slicer.mrmlScene.NodeAddedEvent, lambda *_: {}["observer"])
        slicer.mrmlScene.AddNewNodeByClass("vtkMRMLModelNode")
        slicer.mrmlScene.RemoveObserver(tag)
        self.assertEqual([error.args[0] for error in SlicerStandIn.slot_errors], ["slot", "timer", "observer"])
        SlicerStandIn.slot_errors.clear()

    def test_wait_until_runs_timers_and_gives_up(self):
        fired = []
        qt.QTimer.singleShot(30, lambda: fired.append(1))
        self.assertTrue(SlicerStandIn.wait_until(lambda: fired, timeout_s=10))
        self.assertFalse(SlicerStandIn.wait_until(lambda: False, timeout_s=0.05))

    def test_dialogs_are_recorded_and_answered(self):
        import slicer

        slicer.util.errorDisplay("an error")
        SlicerStandIn.answer = False
        self.assertFalse(slicer.util.confirmYesNoDisplay("sure?"))
        SlicerStandIn.answer = True
        self.assertTrue(slicer.util.confirmOkCancelDisplay("sure?"))
        SlicerStandIn.next_file = "/tmp/scores.csv"
        self.assertEqual(qt.QFileDialog.getSaveFileName(None, "Save", "", "*.csv"), "/tmp/scores.csv")
        self.assertEqual(
            SlicerStandIn.shown_messages, [("error", "an error"), ("confirm", "sure?"), ("confirm", "sure?")]
        )

    def test_section_folded_before_it_had_children_hides_and_shows_them(self):
        section = ctk.ctkCollapsibleButton()
        section.collapsed = True
        layout = qt.QVBoxLayout(section)
        shown, hidden = qt.QLabel("shown"), qt.QLabel("hidden by code")
        layout.addWidget(shown)
        layout.addWidget(hidden)
        hidden.visible = False
        section.show()
        self.assertFalse(shown.visible)
        section.collapsed = False
        self.assertTrue(shown.visible)
        self.assertFalse(hidden.visible)
