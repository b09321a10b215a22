# slicerMacroBuildScriptedModule: copies a scripted module into the build tree and installs what lies there.
#
# As in Slicer, the module file, its library and its Resources folder keep their places relative to each other. Slicer's
# macro adds generic tests for WITH_GENERIC_TESTS; this one accepts the word.

macro(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(SCRIPTED "WITH_GENERIC_TESTS;WITH_SUBDIR;VERBOSE" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(SCRIPTED_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() does not know: ${SCRIPTED_UNPARSED_ARGUMENTS}")
  endif()
  if(NOT DEFINED SCRIPTED_NAME OR NOT DEFINED SCRIPTED_SCRIPTS)
    message(FATAL_ERROR "slicerMacroBuildScriptedModule() needs NAME and SCRIPTS")
  endif()

  set(build_folder "${CMAKE_BINARY_DIR}/${Slicer_QTSCRIPTEDMODULES_LIB_DIR}")
  set(copies)
  foreach(file IN LISTS SCRIPTED_SCRIPTS SCRIPTED_RESOURCES)
    set(source "${CMAKE_CURRENT_SOURCE_DIR}/${file}")
    if(NOT EXISTS "${source}")
      message(FATAL_ERROR "slicerMacroBuildScriptedModule() was given a file that does not exist: '${file}'")
    endif()
    add_custom_command(
      OUTPUT "${build_folder}/${file}"
      COMMAND ${CMAKE_COMMAND} -E copy "${source}" "${build_folder}/${file}"
      DEPENDS "${source}"
      COMMENT "Copying ${file}"
      )
    list(APPEND copies "${build_folder}/${file}")
  endforeach()
  add_custom_target("Copy${SCRIPTED_NAME}" ALL DEPENDS ${copies})
  install(DIRECTORY "${build_folder}/" DESTINATION "${Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR}")
endmacro()
