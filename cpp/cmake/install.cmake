# Libraries, headers, licences, the CMake package and the pkg-config file. In a wheel all of it lies
# inside the Python package, and is found by `python -m asymfast --cmakedir`.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

if(DEFINED SKBUILD)
  set(_asymfast_lib asymfast/lib)
  set(_asymfast_include asymfast/include)
  set(_asymfast_licences asymfast/share/licenses)
else()
  set(_asymfast_lib "${CMAKE_INSTALL_LIBDIR}")
  set(_asymfast_include "${CMAKE_INSTALL_INCLUDEDIR}")
  set(_asymfast_licences "${CMAKE_INSTALL_DATADIR}/licenses/asymfast")
endif()
set(_asymfast_cmake "${_asymfast_lib}/cmake/asymfast")

# Both targets are exported as asymfast::asymfast; the package loads one of the two files.
set(_asymfast_has_static ON)
set(_asymfast_has_shared ${ASYMFAST_BUILD_SHARED})
set(_asymfast_needs_openmp OFF)
if(OpenMP_CXX_FOUND)
  set(_asymfast_needs_openmp ON)
endif()
install(TARGETS asymfast EXPORT asymfast_static ARCHIVE DESTINATION "${_asymfast_lib}"
        INCLUDES DESTINATION "${_asymfast_include}")
install(EXPORT asymfast_static NAMESPACE asymfast:: FILE asymfast-static.cmake
        DESTINATION "${_asymfast_cmake}")
if(ASYMFAST_BUILD_SHARED)
  install(TARGETS asymfast_shared EXPORT asymfast_shared
          LIBRARY DESTINATION "${_asymfast_lib}" ARCHIVE DESTINATION "${_asymfast_lib}"
          RUNTIME DESTINATION "${_asymfast_lib}" INCLUDES DESTINATION "${_asymfast_include}")
  install(EXPORT asymfast_shared NAMESPACE asymfast:: FILE asymfast-shared.cmake
          DESTINATION "${_asymfast_cmake}")
endif()

install(DIRECTORY "${PROJECT_SOURCE_DIR}/cpp/include/asymfast" DESTINATION "${_asymfast_include}")
install(FILES "${PROJECT_BINARY_DIR}/include/asymfast/version.h"
        DESTINATION "${_asymfast_include}/asymfast")
install(FILES "${PROJECT_SOURCE_DIR}/LICENSE" "${PROJECT_SOURCE_DIR}/NOTICE"
        DESTINATION "${_asymfast_licences}")

configure_package_config_file(
  "${CMAKE_CURRENT_LIST_DIR}/asymfastConfig.cmake.in" "${PROJECT_BINARY_DIR}/asymfastConfig.cmake"
  INSTALL_DESTINATION "${_asymfast_cmake}")
# Before 1.0 a minor release may change the C++ interface.
write_basic_package_version_file("${PROJECT_BINARY_DIR}/asymfastConfigVersion.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${PROJECT_BINARY_DIR}/asymfastConfig.cmake"
              "${PROJECT_BINARY_DIR}/asymfastConfigVersion.cmake"
        DESTINATION "${_asymfast_cmake}")

if(ASYMFAST_BUILD_SHARED AND NOT WIN32)
  file(RELATIVE_PATH _asymfast_to_prefix "/prefix/${_asymfast_lib}/pkgconfig" "/prefix")
  configure_file("${CMAKE_CURRENT_LIST_DIR}/asymfast.pc.in" "${PROJECT_BINARY_DIR}/asymfast.pc" @ONLY)
  install(FILES "${PROJECT_BINARY_DIR}/asymfast.pc" DESTINATION "${_asymfast_lib}/pkgconfig")
endif()
