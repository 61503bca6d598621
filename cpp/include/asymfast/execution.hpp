// How a call is carried out: by which backend, on how many threads, and until when.
#pragma once

#include <functional>
#include <stdexcept>
#include <string_view>

#include "asymfast/export.h"

namespace asymfast {

enum class Backend {
  reference,  // plain sequential loops that read like the paper
  cpu,        // blocked, vectorised, parallel over nodes
  cuda,       // on the first GPU; of a module that is built and loaded apart (asymfast/cuda.hpp)
};

ASYMFAST_API Backend backend_from_name(std::string_view name);  // throws std::invalid_argument
ASYMFAST_API std::string_view name_of(Backend backend);

struct Execution {
  Backend backend = Backend::cpu;
  int threads = 0;  // 0: as many as OpenMP offers the calling thread
  // Asked about every 50 ms on the calling thread; `false` abandons the call. May be empty. What it
  // throws ends the call, too, and comes out of it.
  std::function<bool()> keep_going = {};
  // Bytes for slopes sigma' that are kept from pass to pass (runs) or gathered for products (NTG);
  // what does not fit is computed again, or in pieces. No result depends on it. 0: each call's own.
  double slopes_memory = 0;
};

// Thrown by a call whose `keep_going` said false. Training runs return instead, with their records.
struct ASYMFAST_API Interrupted : std::runtime_error {
  Interrupted() : std::runtime_error("asymfast: interrupted") {}
};

}  // namespace asymfast
