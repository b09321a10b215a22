"""A scripted module as small as the stand-in's own tests need it; it shows parameters and computes nothing."""

import enum
import hashlib
from pathlib import Path
from typing import Annotated

import slicer
from slicer import vtkMRMLModelNode, vtkMRMLScalarVolumeNode
from slicer.i18n import tr as _
from slicer.parameterNodeWrapper import WithinRange, parameterNodeWrapper
from slicer.ScriptedLoadableModule import (
    ScriptedLoadableModule,
    ScriptedLoadableModuleLogic,
    ScriptedLoadableModuleWidget,
)
from slicer.util import VTKObservationMixin


class Device(enum.Enum):
    AUTO = "auto"
    CPU = "cpu"

    def label(self):
        return _("Automatic") if self is Device.AUTO else "CPU"


@parameterNodeWrapper
class Parameters:
    ct: vtkMRMLScalarVolumeNode
    output: vtkMRMLModelNode
    threshold: Annotated[float, WithinRange(0, 1)] = 0.5
    count: Annotated[int, WithinRange(1, 64)] = 8
    device: Device = Device.AUTO
    isOn: bool = False
    label: str = ""


class SmallModule(ScriptedLoadableModule):
    def __init__(self, parent):
        ScriptedLoadableModule.__init__(self, parent)
        self.parent.title = _("Small Module")
        slicer.app.connect("startupCompleted()", registerSample)


def registerSample():
    import SampleData

    file = Path(__file__).with_name("SmallSample.csv")
    SampleData.SampleDataLogic.registerCustomSampleDataSource(
        category="Small",
        sampleName="SmallSample",
        uris=[file.as_uri()],
        fileNames=[file.name],
        nodeNames=["SmallSample"],
        checksums=[f"SHA256:{hashlib.sha256(file.read_bytes()).hexdigest()}"],
        loadFileTypes=["TableFile"],
    )


class SmallModuleWidget(ScriptedLoadableModuleWidget, VTKObservationMixin):
    def __init__(self, parent=None):
        ScriptedLoadableModuleWidget.__init__(self, parent)
        VTKObservationMixin.__init__(self)
        self.parameters = None

    def setup(self):
        ScriptedLoadableModuleWidget.setup(self)
        uiWidget = slicer.util.loadUI(self.resourcePath("UI/SmallModule.ui"))
        self.layout.addWidget(uiWidget)
        self.ui = slicer.util.childWidgetVariables(uiWidget)
        uiWidget.setMRMLScene(slicer.mrmlScene)
        self.logic = ScriptedLoadableModuleLogic()
        self.logic.moduleName = "SmallModule"
        scene = slicer.mrmlScene
        self.addObserver(scene, scene.StartCloseEvent, lambda *_: self.show(None))
        self.addObserver(scene, scene.EndCloseEvent, lambda *_: self.enter())
        self.enter()

    def enter(self):
        self.show(Parameters(self.logic.getParameterNode()))

    def show(self, parameters):
        if self.parameters is not None:
            self.parameters.disconnectGui(self.connection)
        self.parameters = parameters
        if parameters is not None:
            self.connection = parameters.connectGui(self.ui)

    def cleanup(self):
        self.show(None)
        self.removeObservers()
