// Versions, errors and the machine.
#include <cstdio>

#include "c_api/common.hpp"

namespace asymfast::c_api {

namespace {
// In memory of its own: to say that there is none left must not need any.
thread_local char last_error[1024] = "";
}  // namespace

asymfast_status fail(asymfast_status status, const char* what) noexcept {
  std::snprintf(last_error, sizeof last_error, "%s", what);
  return status;
}

}  // namespace asymfast::c_api

using asymfast::c_api::guarded;
using asymfast::c_api::required;

int32_t asymfast_abi_version(void) {
  return ASYMFAST_ABI_VERSION;
}

int32_t asymfast_oldest_abi_version(void) {
  return 2;
}

const char* asymfast_version(void) {
  return ASYMFAST_VERSION;
}

const char* asymfast_last_error(void) {
  return asymfast::c_api::last_error;
}

const char* asymfast_isa(void) {
  thread_local std::string isa;
  const asymfast_status status = guarded([] { isa = asymfast::build_config().isa; });
  return status == ASYMFAST_OK ? isa.c_str() : "";
}

asymfast_status asymfast_use_isa(const char* isa) {
  return guarded([&] { asymfast::use_isa(required("use_isa", "isa", isa)); });
}

int32_t asymfast_max_threads(void) {
  int32_t threads = 1;
  guarded([&] { threads = asymfast::build_config().max_threads; });
  return threads;
}
