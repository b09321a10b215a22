# slicer_add_python_unittest: the command is the one that Slicer's macro registers, so that a test sees the same sys.path.

macro(slicer_add_python_unittest)
  cmake_parse_arguments(TEST "" "TESTNAME_PREFIX;SCRIPT" "SLICER_ARGS" ${ARGN})
  if(TEST_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicer_add_python_unittest() does not know: ${TEST_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${TEST_SCRIPT}")
    message(FATAL_ERROR "slicer_add_python_unittest() was given a file that does not exist: '${TEST_SCRIPT}'")
  endif()
  get_filename_component(test_name "${TEST_SCRIPT}" NAME_WE)
  add_test(
    NAME "py_${TEST_TESTNAME_PREFIX}${test_name}"
    COMMAND ${Slicer_LAUNCHER_EXECUTABLE} --no-splash --testing ${TEST_SLICER_ARGS}
    --additional-module-paths "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}"
    --python-code "import slicer.testing; slicer.testing.runUnitTest(['${CMAKE_CURRENT_BINARY_DIR}', '${CMAKE_CURRENT_SOURCE_DIR}'], '${test_name}')"
    )
endmacro()
