// Chunks of nodes shared out among threads: each thread has working memory of its own, and each
// slot of chunks its own part of the outputs (n, k).
#pragma once

#include <vector>

#include "cpu/buffer.hpp"
#include "cpu/layout.hpp"
#include "parallel.hpp"

namespace asymfast::cpu {

// Memory(layout): what a thread works in.
template <class T, class Memory>
class Chunks {
 public:
  // work(chunk, memory, outputs of the chunk's slot) for every chunk.
  template <class Work>
  void with_outputs(const Layout<T>& layout, const Context& context, Work&& work) {
    const Index size = layout.n * layout.k;
    if (outputs_.size() == 0) outputs_ = Buffer<double>(layout.slots * size);
    parallel_for(context, layout.slots, Share::evenly, gather(layout, context),
                 [&](Index slot, Index thread) {
                   double* outputs = outputs_.data() + slot * size;
                   std::fill_n(outputs, size, 0.0);
                   const Range chunks = layout.chunks_of_slot(slot);
                   for (Index chunk = chunks.first; chunk < chunks.last; ++chunk) {
                     context.watch.tick();
                     if (context.watch.stopped()) return;
                     work(chunk, memory_[thread], outputs);
                   }
                 });
  }

  // work(chunk, memory) for every chunk, without outputs.
  template <class Work>
  void of_nodes(const Layout<T>& layout, const Context& context, Work&& work) {
    parallel_for(context, layout.chunks, Share::evenly, gather(layout, context),
                 [&](Index chunk, Index thread) { work(chunk, memory_[thread]); });
  }

  // The first `size` outputs of all slots, added in the order of the slots.
  void sum(const Layout<T>& layout, Index size, double* f) const {
    std::copy_n(outputs_.data(), size, f);
    for (Index slot = 1; slot < layout.slots; ++slot) {
      const double* outputs = outputs_.data() + slot * layout.n * layout.k;
      for (Index i = 0; i < size; ++i) f[i] += outputs[i];
    }
  }

 private:
  // The size of the team, each of which then has working memory.
  Index gather(const Layout<T>& layout, const Context& context) {
    const Index threads = useful_threads(layout, context.threads, layout.slots);
    while (static_cast<Index>(memory_.size()) < threads) memory_.emplace_back(layout);
    return threads;
  }

  Buffer<double> outputs_;
  std::vector<Memory> memory_;
};

}  // namespace asymfast::cpu
