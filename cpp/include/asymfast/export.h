/* Marks what a shared library of asymfast shows: everything else in it is hidden. On Windows
 * programs that link the shared library define ASYMFAST_SHARED, which the CMake package does. */
#ifndef ASYMFAST_EXPORT_H
#define ASYMFAST_EXPORT_H

#if defined(_WIN32)
#if defined(ASYMFAST_EXPORTS)
#define ASYMFAST_API __declspec(dllexport)
#elif defined(ASYMFAST_SHARED)
#define ASYMFAST_API __declspec(dllimport)
#else
#define ASYMFAST_API
#endif
#elif defined(__GNUC__)
#define ASYMFAST_API __attribute__((visibility("default")))
#else
#define ASYMFAST_API
#endif

#endif /* ASYMFAST_EXPORT_H */
