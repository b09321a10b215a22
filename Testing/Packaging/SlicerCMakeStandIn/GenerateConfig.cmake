# Stands in for SlicerExtensionGenerateConfig.cmake. A scripted extension exports no targets: there is nothing to do.
