# cmake --install, and find_package(softreg) from the prefix: consumers need no other package.
set(CMAKE_INSTALL_LIBDIR lib)  # one prefix, one layout: the program's rpath names ../lib
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/softreg)

install(TARGETS softreg softreg_model EXPORT softreg)
install(TARGETS softreg_cli)
install(FILES src/report.py DESTINATION ${CMAKE_INSTALL_DATADIR}/softreg)
install(DIRECTORY include/softreg DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(EXPORT softreg NAMESPACE softreg:: DESTINATION ${package_dir}
        FILE softregConfig.cmake)
write_basic_package_version_file(softregConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/softregConfigVersion.cmake DESTINATION ${package_dir})
