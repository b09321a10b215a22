# Stands in for the SlicerConfig.cmake of a Slicer build, for extensions of scripted modules alone.
#
# It is as strict as the real one where a mistake in our CMakeLists.txt would show: files that do not exist, keywords
# that nobody knows, extension metadata that is missing. It is known to lie here: nothing is compiled to .pyc, tests are
# plain add_test without ExternalData, no package is made.
#
# Slicer_LAUNCHER_EXECUTABLE (a list) is the command that takes Slicer's arguments in the tests.

set(Slicer_FOUND TRUE)
set(Slicer_VERSION_MAJOR 5)
set(Slicer_VERSION_MINOR 12)
set(Slicer_USE_PYTHONQT TRUE)

set(Slicer_QTSCRIPTEDMODULES_LIB_DIR "lib/Slicer-${Slicer_VERSION_MAJOR}.${Slicer_VERSION_MINOR}/qt-scripted-modules")
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR "${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")

set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/ExtensionCPack.cmake")

if(NOT DEFINED Slicer_LAUNCHER_EXECUTABLE)
  message(FATAL_ERROR "Slicer_LAUNCHER_EXECUTABLE is not set")
endif()
