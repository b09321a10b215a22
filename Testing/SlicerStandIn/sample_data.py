"""Stands in for the module Sample Data: samples are registered, copied into Slicer's cache, checked and loaded.

Known to differ: nothing is downloaded, so only samples with file URIs can be loaded; several files a sample are given
as lists. As in Slicer, `customDownloader` is for the buttons of the module and is not used by `downloadSamples`.
"""

import hashlib
import shutil
import sys
import types
import urllib.parse
import urllib.request
from pathlib import Path

import slicer


class SampleDataSource:
    """One sample; the arguments are Slicer's."""

    def __init__(
        self,
        sampleName=None,
        sampleDescription=None,
        uris=None,
        fileNames=None,
        nodeNames=None,
        checksums=None,
        loadFiles=None,
        customDownloader=None,
        thumbnailFileName=None,
        loadFileTypes=None,
        loadFileProperties=None,
    ):
        self.sampleName = sampleName
        self.sampleDescription = sampleDescription or sampleName
        self.uris = uris
        self.fileNames = fileNames
        self.nodeNames = nodeNames
        self.checksums = checksums
        self.loadFiles = loadFiles
        self.customDownloader = customDownloader
        self.thumbnailFileName = thumbnailFileName
        self.loadFileTypes = loadFileTypes
        self.loadFileProperties = loadFileProperties or {}


class SampleDataLogic:
    """Keeps the samples in `slicer.modules.sampleDataSources`, {category: [source]}."""

    @staticmethod
    def registerCustomSampleDataCategory(category, title):
        slicer.modules.sampleDataSourceCategories[category] = {"title": title}

    @staticmethod
    def registerCustomSampleDataSource(category="Custom", sampleName=None, **arguments):
        """As in Slicer, one that is registered again is ignored."""
        sources = slicer.modules.sampleDataSources.setdefault(category, [])
        if all(source.sampleName != sampleName for source in sources):
            sources.append(SampleDataSource(sampleName, **arguments))

    def sourceForSampleName(self, sampleName):
        for sources in slicer.modules.sampleDataSources.values():
            for source in sources:
                if source.sampleName == sampleName:
                    return source
        return None

    def downloadFromSource(self, source):
        files = zip(
            source.uris, source.fileNames, source.nodeNames, source.checksums, source.loadFileTypes, strict=True
        )
        nodes = []
        for uri, fileName, nodeName, checksum, fileType in files:
            path = _intoCache(uri, fileName, checksum)
            nodes.append(slicer.util.loadNodeFromFile(str(path), fileType, {"name": nodeName}))
        return nodes

    def downloadSamples(self, sampleName):
        source = self.sourceForSampleName(sampleName)
        return self.downloadFromSource(source) if source is not None else []

    def downloadSample(self, sampleName):
        return self.downloadSamples(sampleName)[0]


def _intoCache(uri, fileName, checksum):
    """The file under its own name in the cache, when it is the one that was registered."""
    parts = urllib.parse.urlparse(uri)
    if parts.scheme != "file":
        raise NotImplementedError(f"the stand-in downloads nothing, and {uri} is no file")
    path = Path(slicer.mrmlScene.GetCacheManager().GetRemoteCacheDirectory()) / fileName
    shutil.copyfile(urllib.request.url2pathname(parts.path), path)
    algorithm, _, digest = checksum.partition(":")
    if hashlib.new(algorithm, path.read_bytes()).hexdigest() != digest:
        raise ValueError(f"{path} has not the checksum {checksum}")
    return path


def install():
    """Makes `import SampleData` work."""
    module = types.ModuleType("SampleData")
    module.SampleDataLogic = SampleDataLogic
    module.SampleDataSource = SampleDataSource
    module.downloadSample = lambda sampleName: SampleDataLogic().downloadSample(sampleName)
    module.downloadSamples = lambda sampleName: SampleDataLogic().downloadSamples(sampleName)
    sys.modules["SampleData"] = module


def forget():
    """No samples are registered."""
    slicer.modules.sampleDataSources = {}
    slicer.modules.sampleDataSourceCategories = {}
