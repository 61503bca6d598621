// An engine of the network with output weights 1 and scales v: its neural tangent matrix is Theta.
#include "asymfast/ntg_operator.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "backend.hpp"
#include "engine.hpp"
#include "refuse.hpp"

namespace asymfast {

template <class T>
struct NtgOperator<T>::Parts {
  std::vector<T> ones, X, y;  // X: the reference engine reads it where the caller has it
  std::vector<double> v;
  std::unique_ptr<Engine<T>> engine;
};

template <class T>
NtgOperator<T>::NtgOperator(const NetworkView<T>& net, const double* v, MatrixView<const T> X,
                            const Execution& exec)
    : parts_(std::make_unique<Parts>()) {
  if (net.m() < 1 || X.rows < 1 || X.cols != net.d())
    refuse("NtgOperator", "X must have rows of " + std::to_string(net.d()) + " inputs, got shape " +
                              shape(X.rows, X.cols));
  if (!std::all_of(v, v + net.m(), [](double x) { return x >= 0; }))
    refuse("NtgOperator", "v must be >= 0");
  Parts& own = *parts_;
  own.ones.assign(net.m(), T(1));
  own.y.assign(X.rows, T(0));
  own.v.assign(v, v + net.m());
  if (exec.backend == Backend::reference) {
    own.X.assign(X.data, X.data + X.size());
    X.data = own.X.data();
  }
  const NetworkView<T> view{net.W, {own.ones.data(), net.m(), 1}, own.v.data(), net.activation};
  own.engine =
      kernel_table(exec.backend)
          .of<T>()
          .make_engine(view, X, {own.y.data(), X.rows, 1}, Loss::half_sse, exec.slopes_memory);
  watched(exec, [&](const Context& context) { own.engine->restart(context); });
}

template <class T>
NtgOperator<T>::~NtgOperator() = default;
template <class T>
NtgOperator<T>::NtgOperator(NtgOperator&&) noexcept = default;
template <class T>
NtgOperator<T>& NtgOperator<T>::operator=(NtgOperator&&) noexcept = default;

template <class T>
void NtgOperator<T>::apply(MatrixView<const T> U, MatrixView<double> out, const Execution& exec) {
  const Index n = static_cast<Index>(parts_->y.size());
  if (U.cols != n || out.cols != n || out.rows != U.rows)
    refuse("NtgOperator", "U and out must have rows of " + std::to_string(n) + " samples, got " +
                              std::to_string(U.cols));
  watched(exec, [&](const Context& context) {
    for (Index r = 0; r < U.rows; ++r) parts_->engine->ntg_product(U.row(r), out.row(r), context);
  });
}

template class NtgOperator<float>;
template class NtgOperator<double>;

}  // namespace asymfast
