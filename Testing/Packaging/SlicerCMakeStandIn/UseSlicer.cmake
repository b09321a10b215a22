# Stands in for UseSlicer.cmake: names the extension, enables tests, gives the macros of scripted modules.

if("${PROJECT_NAME}" MATCHES "^$|^Slicer$|^Project$")
  message(FATAL_ERROR "project(<extension name>) must come before include(\${Slicer_USE_FILE})")
endif()
set(EXTENSION_NAME "${PROJECT_NAME}")

include(CTest)
include("${CMAKE_CURRENT_LIST_DIR}/ScriptedModule.cmake")
include("${CMAKE_CURRENT_LIST_DIR}/PythonTesting.cmake")
