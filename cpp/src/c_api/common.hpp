// What the files of the C interface share: the handles, exceptions turned into codes, and checks of
// what C++ types cannot say.
#pragma once

#include <cstdint>
#include <limits>
#include <new>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <utility>
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

// call(), with every exception turned into its code.
template <class Call>
asymfast_status guarded(Call&& call) noexcept {
  try {
    return call();
  } catch (const std::invalid_argument& error) {
    return fail(ASYMFAST_INVALID_ARGUMENT, error.what());
  } catch (const Interrupted& error) {
    return fail(ASYMFAST_INTERRUPTED, error.what());
  } catch (const std::bad_alloc&) {
    return fail(ASYMFAST_OUT_OF_MEMORY, "asymfast: not enough memory");
  } catch (const std::length_error&) {  // beyond what a vector can hold
    return fail(ASYMFAST_OUT_OF_MEMORY, "asymfast: not enough memory");
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
const Struct& of_this_version(const char* who, const char* name, const Struct& given) {
  if (given.struct_size != sizeof(Struct))  // there has been one version only
    refuse(who, std::string(name) + "->struct_size must be " + std::to_string(sizeof(Struct)) +
                    ", got " + std::to_string(given.struct_size));
  return given;
}

template <class Struct>
Struct filled(const char* who, const char* name, const Struct* given) {
  return given ? of_this_version(who, name, *given) : Struct{};
}

inline constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

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

inline Execution execution(const char* who, const asymfast_execution* given) {
  const asymfast_execution own = filled(who, "execution", given);
  Execution exec = execution_of(who, own);
  if (own.progress)
    exec.keep_going = [own] { return own.progress(kNan, kNan, own.progress_user) != 0; };
  return exec;
}

inline Loss loss_named(const char* name) {
  return name ? loss_from_name(name) : Loss::half_sse;
}

// ---- views

template <class U>
MatrixView<U> matrix(const char* who, const char* name, U* data, Index rows, Index cols) {
  required(who, name, data);
  if (rows > std::numeric_limits<Index>::max() / Index(sizeof(double)) / cols)
    refuse(who, std::string(name) + " has too many elements");
  return {data, rows, cols};
}

template <class T>
MatrixView<const T> input(const char* who, const char* name, const void* data, Index rows,
                          Index cols) {
  return matrix(who, name, static_cast<const T*>(data), rows, cols);
}

template <class T>
MatrixView<T> output(const char* who, const char* name, void* data, Index rows, Index cols) {
  return matrix(who, name, static_cast<T*>(data), rows, cols);
}

template <class T>
Matrix<T> copied(MatrixView<const T> from) {
  return {from.rows, from.cols, std::vector<T>(from.data, from.data + from.size())};
}

template <class Net>
using ElementOf = std::decay_t<decltype(*std::declval<Net>().W().data())>;

// f(the network in its element type).
template <class F>
asymfast_status with_network(const char* who, const asymfast_network* network, F&& f) {
  return guarded([&] {
    required(who, "network", network);
    return std::visit(
        [&](const auto& net) -> asymfast_status {
          f(net);
          return ASYMFAST_OK;
        },
        network->of);
  });
}

// f(T{}) for a dtype of networks.
template <class F>
void with_dtype(const char* who, asymfast_dtype dtype, F&& f) {
  if (dtype == ASYMFAST_FLOAT64) return f(double{});
  if (dtype == ASYMFAST_FLOAT32) return f(float{});
  refuse(who, "dtype must be ASYMFAST_FLOAT64 or ASYMFAST_FLOAT32, got " + std::to_string(dtype));
}

template <class U>
std::vector<U> list(const char* who, const char* name, const U* data, int64_t size) {
  if (size < 0)
    refuse(who, std::string("n_") + name + " must be >= 0, got " + std::to_string(size));
  if (size > 0) required(who, name, data);
  return std::vector<U>(data, data + size);
}

template <class U>
constexpr asymfast_dtype dtype_of() {
  if (std::is_same_v<U, double>) return ASYMFAST_FLOAT64;
  return std::is_same_v<U, float> ? ASYMFAST_FLOAT32 : ASYMFAST_INT64;
}

}  // namespace asymfast::c_api
