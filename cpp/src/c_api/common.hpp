// What the files of the C interface share: the handles, exceptions turned into codes, and checks of
// what C++ types cannot say.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "asymfast/asymfast.h"
#include "asymfast/asymfast.hpp"
#include "refuse.hpp"

struct asymfast_network {
  std::variant<asymfast::Network<double>, asymfast::Network<float>> of;
};

struct asymfast_run {
  struct Column {
    std::string name;
    asymfast_column at;
  };
  template <class T>
  struct Of {
    asymfast::Network<T> network;  // the initial one
    asymfast::RunResult<T> result;
  };

  std::variant<Of<double>, Of<float>> of;
  std::vector<Column> columns;  // that were recorded
};

namespace asymfast::c_api {

// ---- errors

// Keeps the sentence for asymfast_last_error() and returns the status.
asymfast_status fail(asymfast_status status, const char* what) noexcept;

// call(), which returns a status or nothing, with every exception turned into its code.
template <class Call>
asymfast_status guarded(Call&& call) noexcept {
  constexpr const char* kNoMemory = "asymfast: not enough memory";
  try {
    if constexpr (!std::is_void_v<decltype(call())>) return call();
    call();
    return ASYMFAST_OK;
  } catch (const std::invalid_argument& error) {
    return fail(ASYMFAST_INVALID_ARGUMENT, error.what());
  } catch (const Interrupted& error) {
    return fail(ASYMFAST_INTERRUPTED, error.what());
  } catch (const std::bad_alloc&) {
    return fail(ASYMFAST_OUT_OF_MEMORY, kNoMemory);
  } catch (const std::length_error&) {  // beyond what a vector can hold
    return fail(ASYMFAST_OUT_OF_MEMORY, kNoMemory);
  } catch (const std::exception& error) {
    return fail(ASYMFAST_FAILED, error.what());
  } catch (...) {
    return fail(ASYMFAST_FAILED, "asymfast: unknown exception");
  }
}

template <class U>
U* required(const char* who, const char* name, U* pointer) {
  if (!pointer) refuse(who, std::string(name) + " must not be null");
  return pointer;
}

// A count that is at least 1 and that Index can hold.
inline Index count(const char* who, const char* name, int64_t value) {
  if (value < 1 || value > std::numeric_limits<Index>::max())
    refuse(who, std::string(name) + " must be at least 1, got " + std::to_string(value));
  return static_cast<Index>(value);
}

// ---- structs of any version up to this one

template <class Struct>
void check_version(const char* who, const char* name, const Struct& given) {
  if (given.struct_size != sizeof(Struct))  // there has been one version only
    refuse(who, std::string(name) + "->struct_size must be " + std::to_string(sizeof(Struct)) +
                    ", got " + std::to_string(given.struct_size));
}

template <class Struct>
Struct filled(const char* who, const char* name, const Struct* given) {
  if (!given) return {};
  check_version(who, name, *given);
  return *given;
}

inline Execution execution_of(const char* who, const asymfast_execution& given) {
  Execution exec;
  if (given.backend) exec.backend = backend_from_name(given.backend);
  constexpr int32_t kMostThreads = 1024;  // an OpenMP run time may crash on more
  if (given.threads < 0 || given.threads > kMostThreads)
    refuse(who, "threads must be in [0, " + std::to_string(kMostThreads) + "], got " +
                    std::to_string(given.threads));
  exec.threads = given.threads;
  if (given.reserved != 0) refuse(who, "reserved must be 0, got " + std::to_string(given.reserved));
  if (!(given.slopes_memory >= 0))
    refuse(who, "slopes_memory must be >= 0, got " + std::to_string(given.slopes_memory));
  exec.slopes_memory = given.slopes_memory;
  return exec;
}

inline Loss loss_named(const char* name) {
  return name ? loss_from_name(name) : Loss::half_sse;
}

// ---- networks and arrays of either element type

template <class T>
constexpr asymfast_dtype dtype_of() {
  if (std::is_same_v<T, double>) return ASYMFAST_FLOAT64;
  return std::is_same_v<T, float> ? ASYMFAST_FLOAT32 : ASYMFAST_INT64;
}

// The caller's arrays of element type T.
template <class T>
struct Arrays {
  using Element = T;

  const char* who;

  MatrixView<const T> in(const char* name, const void* data, Index rows, Index cols) const {
    required(who, name, data);
    if (rows > std::numeric_limits<Index>::max() / Index(sizeof(double)) / cols)
      refuse(who, std::string(name) + " has too many elements");
    return {static_cast<const T*>(data), rows, cols};
  }
  MatrixView<T> out(const char* name, void* data, Index rows, Index cols) const {
    in(name, data, rows, cols);
    return {static_cast<T*>(data), rows, cols};
  }
};

// f(network, arrays) in the element type of the network.
template <class F>
asymfast_status with_network(const char* who, const asymfast_network* network, F&& f) {
  return guarded([&] {
    const auto call = [&](const auto& net) {
      return f(net, Arrays<std::decay_t<decltype(*net.W().data())>>{who});
    };
    return std::visit(call, required(who, "network", network)->of);
  });
}

}  // namespace asymfast::c_api
