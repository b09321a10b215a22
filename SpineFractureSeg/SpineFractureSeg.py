"""SpineFractureSeg in 3D Slicer: module, panel, logic and self-test. The work is in ``SpineFractureSegLib``:
``engine`` segments, ``scene`` turns nodes into its input and its results into nodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import slicer
from slicer import vtkMRMLLabelMapVolumeNode, vtkMRMLScalarVolumeNode, vtkMRMLSegmentationNode, vtkMRMLTableNode
from slicer.i18n import tr as _
from slicer.i18n import translate
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleTest,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin

if TYPE_CHECKING:
    from SpineFractureSegLib.engine.findings import Finding
    from SpineFractureSegLib.engine.metrics import Scores
    from SpineFractureSegLib.engine.vertebrae.vertebra import Vertebra
    from SpineFractureSegLib.scene.engine_job import EngineJob, EngineProgress
    from SpineFractureSegLib.scene.finetune_case import FinetuneCase
    from SpineFractureSegLib.scene.finetune_folder import FinetuneFolder
    from SpineFractureSegLib.scene.finetune_result import FinetuneResult
    from SpineFractureSegLib.scene.finetune_run import FinetuneRun
    from SpineFractureSegLib.scene.run_record import RunRecord
    from SpineFractureSegLib.scene.segmentation_run import SegmentationRun


class SpineFractureSeg(ScriptedLoadableModule):
    """What Slicer's module list shows."""

    def __init__(self, parent) -> None:
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Spine Fracture Segmentation")
        self.parent.categories = [translate("qSlicerAbstractCoreModule", "Segmentation")]
        self.parent.dependencies = []  # the PyTorch extension is asked for when it is first needed
        self.parent.contributors = ["SpineFractureSeg contributors"]
        self.parent.helpText = _(
            "<p>Outlines fractures of the spine in CT, lists them, and compares the outline with a reference segment "
            "(Dice, IoU). Choose a CT and press Apply. It runs on this computer, on a GPU where there is one; nothing "
            "is sent anywhere.</p>"
            "<p><b>Research use only. Not a medical device.</b> The bundled model learned from fractures simulated on "
            'real anatomy; see <a href="{docs}">what it finds and what it misses</a>.</p>'
        ).format(docs="https://github.com/SpineFractureSeg/SlicerSpineFractureSeg#readme")
        self.parent.acknowledgementText = _(
            "The network is that of M. U. Saeed, W. Bin, J. Sheng, H. M. Albarakati, <i>An Automated Multi-scale "
            "Feature Fusion Network for Spine Fracture Segmentation Using Computed Tomography Images</i>, Journal of "
            "Imaging Informatics in Medicine, 2024; please cite them. This is an independent implementation. Weights "
            "and sample CT: CC BY-SA 4.0, from the VerSe data set (Sekuboyina et al. 2021) and others named beside the "
            "files; code: Apache-2.0."
        )
        slicer.app.connect("startupCompleted()", _onStartupCompleted)


def _onStartupCompleted() -> None:
    from SpineFractureSegLib.scene.sample_data import registerSampleData
    from SpineFractureSegLib.scene.terminology import loadTerminology

    registerSampleData()
    loadTerminology()


class SpineFractureSegWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    """The module's panel: this shell follows Slicer's events, ``scene/panel.py`` is the panel."""

    def __init__(self, parent=None) -> None:
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.logic = None
        self.panel = None

    def setup(self) -> None:
        ScriptedLoadableModuleWidget.setup(self)
        from SpineFractureSegLib.scene.panel import Panel

        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SpineFractureSeg.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = SpineFractureSegLogic()
        self.panel = Panel(self.ui, self.logic)
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, self.onSceneStartClose)
        self.addObserver(scene, scene.EndCloseEvent, self.onSceneEndClose)
        self.addObserver(scene, scene.StartImportEvent, self.onSceneStartImport)
        self.addObserver(scene, scene.EndImportEvent, self.onSceneEndImport)
        self.panel.attach(self.logic.getParameterNode())

    def cleanup(self) -> None:
        self.removeObservers()
        self.panel.close()

    def enter(self) -> None:
        self.panel.attach(self.logic.getParameterNode())

    def onSceneStartClose(self, _caller, _event) -> None:
        self.panel.stop(_("The scene was closed: the segmentation was cancelled."))
        self.panel.detach()

    def onSceneEndClose(self, _caller, _event) -> None:
        self.logic.forget()
        self._attachWhenShown()

    def onSceneStartImport(self, _caller, _event) -> None:
        self.panel.detach()  # selectors that are half loaded must not change what was saved

    def onSceneEndImport(self, _caller, _event) -> None:
        self._attachWhenShown()

    def _attachWhenShown(self) -> None:
        if self.parent.isEntered:
            self.panel.attach(self.logic.getParameterNode())


class SpineFractureSegLogic(ScriptedLoadableModuleLogic):
    """The module without its panel, for Slicer's Python console and other modules.

    Example::

        logic = slicer.util.getModuleLogic("SpineFractureSeg")
        segmentationNode = logic.segment(volumeNode)
        scores = logic.evaluate(segmentationNode, "Fracture", referenceNode, "segment id")
    """

    def __init__(self) -> None:
        ScriptedLoadableModuleLogic.__init__(self)
        self._kept = {}  # run id: KeptResult

    def getParameterNode(self):
        from SpineFractureSegLib.scene.parameter_node import SpineFractureSegParameterNode

        return SpineFractureSegParameterNode(super().getParameterNode())

    def segment(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode | None = None,
        model: str | Path | None = None,
        device: str = "auto",
        planes: Sequence[str] | None = None,
        threshold: float | None = None,
        minVolumeMm3: float | None = None,
        batchSize: int | None = None,
        vertebrae: bool = False,
        probability: bool | vtkMRMLScalarVolumeNode = False,
        allowSequenceFrame: bool = False,
        onProgress: Callable[[EngineProgress], None] | None = None,
        onLog: Callable[[str], None] | None = None,
    ) -> vtkMRMLSegmentationNode:
        """Finds and outlines the fractures of the spine; waits until it is done.

        :param volumeNode: CT in HU; any orientation and spacing, under any linear transform.
        :param segmentationNode: its segment "Fracture" is replaced; None: a new node.
        :param model: name or file of a model; None: the bundled one.
        :param device: "auto", "cpu", "cuda", "cuda:N" or "mps".
        :param planes: some of "sagittal", "axial", "coronal", of those that the model has; None: all it has.
        :param threshold: probability in (0, 1) from which a voxel is fractured; None: the model's.
        :param minVolumeMm3: smaller findings are dropped; None: the model's.
        :param batchSize: slices at once; None: what suits the device.
        :param vertebrae: also write the vertebral bodies, as the segment "Vertebrae".
        :param probability: True: a new volume node with the probability; a node: written there.
        :param allowSequenceFrame: segment the frame that a sequence shows now.
        :param onProgress: called with stage, done, total, device and elapsed seconds.
        :param onLog: called with every other line that the engine writes.
        :return: the segmentation node, under the CT's transform and on its grid.
        :raises UserError: in one sentence, what is wrong and what to do. The scene is then as it was.
        """
        from SpineFractureSegLib.scene.engine_job import SegmentationSettings
        from SpineFractureSegLib.scene.segmentation_run import SegmentationRun

        settings = SegmentationSettings(model, device, planes, threshold, minVolumeMm3, batchSize, vertebrae)
        run = SegmentationRun(volumeNode, segmentationNode, settings, probability, allowSequenceFrame)
        return self._write(run, run.job.run(onProgress, onLog))

    def startSegmentation(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode | None = None,
        model: str | Path | None = None,
        device: str = "auto",
        planes: Sequence[str] | None = None,
        threshold: float | None = None,
        minVolumeMm3: float | None = None,
        batchSize: int | None = None,
        vertebrae: bool = False,
        probability: bool | vtkMRMLScalarVolumeNode = False,
        allowSequenceFrame: bool = False,
        onProgress: Callable[[EngineProgress], None] | None = None,
        onLog: Callable[[str], None] | None = None,
        onFinished: Callable[[vtkMRMLSegmentationNode | None, Exception | None], None] | None = None,
    ) -> EngineJob:
        """As ``segment``, in the background: returns at once, Slicer stays responsive.

        :param onFinished: called once, with the segmentation node and None, or with None and the error: UserError, or
            Cancelled after ``cancel()``.
        :return: the job; its ``cancel()`` ends the engine's processes within two seconds and leaves no file.
        :raises UserError: when the run cannot be started.
        """
        from SpineFractureSegLib.scene.engine_job import SegmentationSettings
        from SpineFractureSegLib.scene.segmentation_run import SegmentationRun

        settings = SegmentationSettings(model, device, planes, threshold, minVolumeMm3, batchSize, vertebrae)
        run = SegmentationRun(volumeNode, segmentationNode, settings, probability, allowSequenceFrame)

        def finish(result, error) -> None:
            node = None
            if error is None:
                try:
                    node = self._write(run, result)
                except Exception as failure:  # it is handed on: nobody else could catch it here
                    error = failure
            if onFinished:
                onFinished(node, error)

        run.job.start(onProgress, onLog, finish)
        return run.job

    def applyThreshold(
        self, segmentationNode: vtkMRMLSegmentationNode, threshold: float, minVolumeMm3: float | None = None
    ) -> list[Finding]:
        """Makes the segment "Fracture" anew from the probability of the last run, without running again.

        :param threshold: probability in (0, 1) from which a voxel is fractured.
        :param minVolumeMm3: smaller findings are dropped; None: as before.
        :raises UserError: when neither the run nor its probability volume is at hand any more.
        """
        from SpineFractureSegLib.scene.rethreshold import rethreshold

        return rethreshold(segmentationNode, self._keptResult(segmentationNode), threshold, minVolumeMm3)

    def canApplyThreshold(self, segmentationNode: vtkMRMLSegmentationNode | None) -> bool:
        """Whether ``applyThreshold`` has something to work on."""
        return segmentationNode is not None and self._keptResult(segmentationNode) is not None

    def evaluate(
        self,
        segmentationNode: vtkMRMLSegmentationNode,
        segmentID: str,
        referenceSegmentationNode: vtkMRMLSegmentationNode,
        referenceSegmentID: str,
        volumeNode: vtkMRMLScalarVolumeNode | None = None,
    ) -> Scores:
        """Compares two segments on the CT's grid, whatever their own grids and transforms are.

        :param volumeNode: the CT; None: the volume that one of the two segmentations refers to.
        :return: Dice, IoU, HD95 and NSD in mm, lesion sensitivity, false positives and more; also written into a table
            node, see ``scoresTable``.
        :raises UserError: when a segment is missing or empty, or the two do not overlap.
        """
        from SpineFractureSegLib.scene.evaluation import evaluateSegments

        return evaluateSegments(segmentationNode, segmentID, referenceSegmentationNode, referenceSegmentID, volumeNode)

    def findingsTable(self, segmentationNode: vtkMRMLSegmentationNode) -> vtkMRMLTableNode | None:
        """The table of the findings of the node's last run: one row per lesion, largest first."""
        from SpineFractureSegLib.scene.result_tables import FINDINGS_ROLE

        return segmentationNode.GetNodeReference(FINDINGS_ROLE)

    def spineTable(self, segmentationNode: vtkMRMLSegmentationNode) -> vtkMRMLTableNode | None:
        """The table of the vertebrae of the node's last run, from the top down; None where the model knows none."""
        from SpineFractureSegLib.scene.spine_table import SPINE_ROLE

        return segmentationNode.GetNodeReference(SPINE_ROLE)

    def vertebrae(self, segmentationNode: vtkMRMLSegmentationNode) -> list[Vertebra]:
        """The same as objects: fracture probability, heights, Genant grade, level and more of each."""
        from SpineFractureSegLib.scene.spine_table import readSpine

        return readSpine(self.spineTable(segmentationNode))

    def nameVertebra(self, segmentationNode: vtkMRMLSegmentationNode, number: int, level: str) -> None:
        """Names the vertebra of this number, and the others by counting from it.

        :param level: "C1" to "L5" or "S1"; empty: all are numbered from the top again.
        :raises UserError: when there is no such vertebra or level.
        """
        from SpineFractureSegLib.scene.spine_table import nameVertebra

        nameVertebra(segmentationNode, number, level)

    def nameVertebraeFrom(
        self,
        segmentationNode: vtkMRMLSegmentationNode,
        levelsNode: vtkMRMLSegmentationNode | vtkMRMLLabelMapVolumeNode,
    ) -> None:
        """Gives each vertebra the level of what lies in its middle.

        :param levelsNode: vertebrae of TotalSegmentator or SPINEPS: a segmentation with segments named after them
            ("L1", "vertebrae_L1") or numbered ("Segment_20"), or a label map; on any grid.
        :raises UserError: when names and numbers tell nothing, or the two do not overlap.
        """
        from SpineFractureSegLib.scene.level_map import nameVertebraeFrom

        nameVertebraeFrom(segmentationNode, levelsNode)

    def saveSpineTable(self, segmentationNode: vtkMRMLSegmentationNode, path: str | Path) -> None:
        """Writes one row per vertebra as CSV.

        :raises UserError: when there are none, or the file cannot be written.
        """
        from SpineFractureSegLib.scene.spine_table_export import saveSpineTable

        saveSpineTable(segmentationNode, path)

    def saveSpineReport(self, segmentationNode: vtkMRMLSegmentationNode, path: str | Path) -> None:
        """Writes vertebrae, findings and pictures as one HTML file.

        :raises UserError: when the segmentation is of no run, or the file cannot be written.
        """
        from SpineFractureSegLib.scene.spine_table_export import saveSpineReport

        saveSpineReport(segmentationNode, path)

    def scoresTable(self, segmentationNode: vtkMRMLSegmentationNode) -> vtkMRMLTableNode | None:
        """The table of the last ``evaluate`` of this segmentation."""
        from SpineFractureSegLib.scene.result_tables import SCORES_ROLE

        return segmentationNode.GetNodeReference(SCORES_ROLE)

    def runRecord(self, segmentationNode: vtkMRMLSegmentationNode) -> RunRecord | None:
        """Model, device, seconds, threshold and warnings of the run that made this segmentation."""
        from SpineFractureSegLib.scene.run_record import readRecord

        return readRecord(segmentationNode)

    def finetune(
        self,
        cases: Sequence[FinetuneCase] | str | Path,
        onProgress: Callable[[EngineProgress], None] | None = None,
        onLog: Callable[[str], None] | None = None,
        **settings,
    ) -> FinetuneResult:
        """Makes a new model that has learned from these cases, and compares it with the one before; waits for it.

        Example::

            cases = [logic.finetuneCase(volumeNode, referenceNode, "segment id") for volumeNode, referenceNode in pairs]
            result = logic.finetune(cases, name="clinic-2026", minutes=15)
            print(result.verdict)

        :param cases: from ``finetuneCase``, of at least two patients, or a folder of pairs of CT and outline.
        :param settings: fields of ``scene.finetune_run.FinetuneSettings``: name (needed), parent, labelMeaning,
            wholeBodies, minutes, epochs, learningRate, mix, seed, device.
        :return: scores before and after on the held-out cases, and the new model; one that is not worse is in the list
            of models, too. ``result.folder.remove()`` removes the run's copies of the CTs.
        :raises UserError: in one sentence, what is wrong and what to do.
        """
        return self._finetuneRun(cases, settings).run(onProgress, onLog)

    def startFinetuning(
        self,
        cases: Sequence[FinetuneCase] | str | Path,
        onProgress: Callable[[EngineProgress], None] | None = None,
        onLog: Callable[[str], None] | None = None,
        onFinished: Callable[[FinetuneResult | None, Exception | None], None] | None = None,
        **settings,
    ) -> FinetuneRun:
        """As ``finetune``, in the background: returns at once, Slicer stays responsive.

        :param onFinished: called once, with the result and None, or with None and the error.
        :return: the run: ``cancel()`` ends it at once, ``folder.pause(True)`` lets it wait, ``folder.stop()`` ends it
            with the best model so far.
        :raises UserError: when the cases or settings cannot be used.
        """
        run = self._finetuneRun(cases, settings)
        run.start(onProgress, onLog, onFinished)
        return run

    def resumeFinetuning(
        self,
        folder: FinetuneFolder,
        onProgress: Callable[[EngineProgress], None] | None = None,
        onLog: Callable[[str], None] | None = None,
        onFinished: Callable[[FinetuneResult | None, Exception | None], None] | None = None,
    ) -> FinetuneRun:
        """Goes on with a run that was cut off, in the background.

        :param folder: one of ``scene.finetune_folder.openRuns()``.
        """
        from SpineFractureSegLib.scene.finetune_run import FinetuneRun

        run = FinetuneRun.resumed(folder)
        run.start(onProgress, onLog, onFinished)
        return run

    def finetuneCase(
        self,
        volumeNode: vtkMRMLScalarVolumeNode,
        segmentationNode: vtkMRMLSegmentationNode,
        segmentID: str,
        patient: str = "",
        role: str = "auto",
    ) -> FinetuneCase:
        """A CT and the segment that outlines its fractures, for ``finetune``.

        :param patient: cases of one patient are learned from or held out together; empty: as DICOM says, else the CT's
            own name.
        :param role: "train", "validation" (held out), or "auto".
        """
        from SpineFractureSegLib.scene.finetune_case import sceneCase

        return sceneCase(volumeNode, segmentationNode, segmentID, patient, role)

    def forget(self) -> None:
        """Frees the kept results of segmentations that are no longer in the scene."""
        nodes = slicer.util.getNodesByClass("vtkMRMLSegmentationNode")
        alive = {record.id for node in nodes if (record := self.runRecord(node)) is not None}
        self._kept = {run: kept for run, kept in self._kept.items() if run in alive}

    @staticmethod
    def _finetuneRun(cases: Sequence[FinetuneCase] | str | Path, settings: dict) -> FinetuneRun:
        from SpineFractureSegLib.scene.finetune_run import FinetuneRun, FinetuneSettings
        from SpineFractureSegLib.scene.finetune_search import casesOfFolder

        if isinstance(cases, (str, Path)):
            cases = casesOfFolder(Path(cases)).cases
        return FinetuneRun.new(cases, FinetuneSettings(**settings))

    def _write(self, run: SegmentationRun, result) -> vtkMRMLSegmentationNode:
        written = run.write(result)
        self.forget()
        self._kept[written.record.id] = written.kept
        return written.segmentationNode

    def _keptResult(self, segmentationNode: vtkMRMLSegmentationNode):
        """Of this session's run or, after the scene was loaded again, from the probability volume."""
        from SpineFractureSegLib.scene.kept_result import KeptResult
        from SpineFractureSegLib.scene.segmentation_run import PROBABILITY_ROLE

        record = self.runRecord(segmentationNode)
        if record is None:
            return None
        if record.id not in self._kept:
            probabilityNode = segmentationNode.GetNodeReference(PROBABILITY_ROLE)
            if probabilityNode is None or probabilityNode.GetImageData() is None:
                return None
            self._kept[record.id] = KeptResult.fromVolume(probabilityNode)
        return self._kept[record.id]


class SpineFractureSegTest(ScriptedLoadableModuleTest):
    """The short self-test behind Slicer's "Reload and Test". The full tests are in ``Testing``."""

    def setUp(self) -> None:
        slicer.mrmlScene.Clear()

    def runTest(self) -> None:
        self.setUp()
        self.test_SampleIsSegmentedAndScored()

    def test_SampleIsSegmentedAndScored(self) -> None:
        """Segments the sample CT and compares it with its reference, where the packages are installed."""
        import SampleData

        from SpineFractureSegLib.scene.installation import missingPackages
        from SpineFractureSegLib.scene.sample_data import SAMPLE, registerSampleData

        registerSampleData()
        volumeNode, referenceNode = SampleData.SampleDataLogic().downloadSamples(SAMPLE)
        self.delayDisplay("Sample CT loaded")
        if missing := missingPackages():
            self.delayDisplay(f"Not segmented: {', '.join(missing)} not installed")
            return
        logic = SpineFractureSegLogic()
        segmentationNode = logic.segment(volumeNode, device="cpu")
        referenceID = referenceNode.GetSegmentation().GetNthSegmentID(0)
        scores = logic.evaluate(segmentationNode, "Fracture", referenceNode, referenceID)
        self.assertGreater(scores.sensitivity, 0.99)
        self.delayDisplay(f"Test passed, Dice {scores.dice:.2f}")
