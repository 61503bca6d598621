#include "asymfast/planned_bytes.hpp"

#include <algorithm>
#include <cmath>

#include "train/requirements.hpp"
#include "train/tangent_history.hpp"
#include "tuning.hpp"

namespace asymfast {

namespace {

constexpr double kDouble = sizeof(double);
constexpr Index kBlock = 32;  // two vectors of AVX-512 of floats: no padding is coarser
constexpr Index kVectorBytes = 64;
constexpr double kJacobians = double(TangentHistory::kSlots);

Index ceil_div(Index a, Index b) {
  return (a + b - 1) / b;
}

double padded(Index count) {
  return double(ceil_div(count, kBlock) * kBlock);
}

// A row of samples: not a multiple of 512 bytes, or rows would share a part of the cache.
double stride(const RunSizes& s) {
  const auto element = static_cast<Index>(s.element);
  return double(s.d * element % 512 ? s.d : s.d + kVectorBytes / element);
}

double slots(const RunSizes& s) {
  const Index block = kVectorBytes / static_cast<Index>(s.element);  // half of the smallest
  return double(std::min(tuning::kMostSlots, ceil_div(ceil_div(s.m, kBlock) * kBlock, 4 * block)));
}

// Partial sums of the outputs of so many samples.
double partial_sums(const RunSizes& s, Index samples) {
  return kDouble * slots(s) * double(samples) * double(s.k);
}

// Whether a step goes through the samples (cpu/sample_pass.hpp).
bool goes_through_samples(const RunSizes& s, double nodes) {
  return s.n >= tuning::kSmallestPart * tuning::kFewestParts && s.d <= tuning::kFewInputs &&
         double(s.element * tuning::kSmallestTile) * nodes <= double(tuning::kSlopeBytes);
}

RunProblem problem_of(const RunSizes& s, bool train_output) {
  return {s.n, s.m, s.d, s.k, s.loss, s.activation, train_output};
}

double outputs(const RunSizes& s) {
  return double(s.n) * double(s.k);
}

double engine_bytes(const RunSizes& s) {
  const double element = double(s.element), nodes = padded(s.m), n = double(s.n), k = double(s.k);
  double bytes =
      element * (2 * nodes * double(s.d) + n * stride(s) + nodes * k + n * k) + 2 * kDouble * n * k;
  if (s.alone && goes_through_samples(s, double(s.m)))
    bytes += element * double(tuning::kMostParts) * nodes * double(s.d) +
             (560'000 + 6 * element * nodes + 7400 * k) * s.threads;
  if (!(s.alone && goes_through_samples(s, nodes)))  // padded, it may just not
    bytes += partial_sums(s, s.n);
  return bytes;
}

// Of a product with the matrix of all outputs, beside an engine: it goes through the nodes.
double product_bytes(const RunSizes& s) {
  return goes_through_samples(s, padded(s.m)) ? partial_sums(s, s.n) : 0;
}

// A forward pass over so many samples of a member (cpu/network.cpp), for those that run at once.
double forward_bytes(const RunSizes& s, Index samples) {
  if (samples == 0) return 0;
  const double nodes = padded(s.m), k = double(s.k);
  const Index piece = std::min(samples, tuning::kMostSamples);
  const double arrays = double(s.element) * (double(piece) * stride(s) + nodes * (double(s.d) + k));
  const double sums = partial_sums(s, piece) + kDouble * double(piece) * k;
  return double(std::min<Index>(s.B, s.threads)) * (arrays + sums + kDouble * double(samples) * k);
}

// Weights of the record, NTG_0 and weight_change of every member, NTGs of those measured at once.
double record_bytes(const RunSizes& s) {
  const double element = double(s.element), q = double(s.ntg_samples), m = double(s.m);
  double bytes =
      double(s.B) * (2 * element * m * double(s.d) + kDouble * (q * q + double(s.rows) * m));
  if (s.ntg_samples > 0)
    bytes += double(std::min<Index>(s.B, s.threads)) *
             (36 * q * q + 1200 * q + (kDouble + 2 * element) * q * double(s.d) +
              std::min(tuning::kGatheredSlopes, element * padded(s.ntg_samples) * m));
  return bytes + forward_bytes(s, s.test_samples);
}

// Of an engine of both layers (train/both_layers.hpp) beside that of the first.
double both_layers_bytes(const RunSizes& s) {
  const double element = double(s.element), n = double(s.n), m = double(s.m), d = double(s.d);
  const double k = double(s.k), weights = m * (d + k), product = 4 * n * d + 2 * m * d;
  return kDouble * 11 * weights + element * (3 * weights + 2 * product + n * k);
}

double jacobians_bytes(const RunSizes& s, double count) {
  return count * double(s.element) * double(s.n) * padded(s.m);
}

// What a flow keeps of a member besides its engine.
double flow_bytes(const RunSizes& s, FlowMethod method, bool equal_steps) {
  const double N = outputs(s), weights = double(s.element) * padded(s.m) * double(s.d);
  if (method == FlowMethod::tangent)
    return 6 * weights + jacobians_bytes(s, kJacobians) +
           kDouble * ((kJacobians + 4) * N * N + 512 * N) + product_bytes(s);
  const double copies = equal_steps ? 2 : method == FlowMethod::rk4 ? 6 : 11;
  return copies * weights + product_bytes(s);
}

double leap_bytes(const RunSizes& s) {
  const double N = outputs(s), weights = double(s.element) * padded(s.m) * double(s.d);
  double small = 30 * N * N + 2100 * N;
  if (N > double(tuning::kAllOutputs)) {  // directions, and the matrix where it may be less work
    const double p = std::min(N, double(tuning::kMostDirections));
    const double square = N <= double(tuning::kMostDense) ? N * N : 0;
    small = 30 * p * p + 2 * square + N * (2100 + (2 * double(s.d) + 8) * p);
  }
  return 3 * weights + jacobians_bytes(s, kJacobians + 3) + kDouble * small + product_bytes(s);
}

}  // namespace

double planned_bytes(const RunSizes& s, const Descent& descent) {
  constexpr double kMostOfAutomatic = 1.2e9;  // what is chosen has 1e9, counted more simply
  const double leaps = leap_bytes(s);
  const bool may_leap = descent.method == DescentMethod::leap ||
                        (descent.method == DescentMethod::automatic && leaps <= kMostOfAutomatic &&
                         what_forbids_leaps(problem_of(s, descent.train_output)).empty());
  const double more = descent.train_output ? both_layers_bytes(s) : 0;
  return double(s.B) * (engine_bytes(s) + more + (may_leap ? leaps : 0)) + record_bytes(s);
}

double planned_bytes(const RunSizes& s, const Flow& flow) {
  const RunProblem problem = problem_of(s, flow.train_output);
  const auto may_be_taken = [&](FlowMethod method) {
    if (flow.method != FlowMethod::automatic) return method == flow.method;
    if (!smooth(s.activation)) return method == FlowMethod::rk4;
    return method == FlowMethod::dopri5 ||
           (method == FlowMethod::tangent && what_forbids_tangent(problem).empty());
  };
  double most = 0;
  if (flow.dt > 0)
    most = flow_bytes(s, FlowMethod::rk4, true);
  else
    for (const FlowMethod method : {FlowMethod::rk4, FlowMethod::dopri5, FlowMethod::tangent})
      if (may_be_taken(method)) most = std::max(most, flow_bytes(s, method, false));
  if (flow.train_output) most += both_layers_bytes(s);
  return double(s.B) * (engine_bytes(s) + most) + record_bytes(s);
}

double planned_bytes(const RunSizes& s, const Sgd& sgd) {
  const double element = double(s.element), nodes = padded(s.m), m = double(s.m), d = double(s.d);
  const double k = double(s.k), b = double(sgd.batch_size);
  const double engine = element * (2 * nodes * d + 3 * nodes * k + 2 * b * (stride(s) + k) +
                                   b * nodes * (sgd.train_output ? 2 : 1) + m * (d + k)) +
                        partial_sums(s, sgd.batch_size) + kDouble * b * k +
                        2 * kDouble * outputs(s);
  return double(s.B) * engine + record_bytes(s) + forward_bytes(s, s.n);
}

double planned_operator_bytes(const RunSizes& s) {
  return engine_bytes(s) + product_bytes(s) + 2 * double(s.element) * double(s.m) * double(s.d);
}

NtgBytes planned_ntg_bytes(Index n, Index n2, Index d, const double* v, Index m,
                           std::size_t element_size) {
  const double element = double(element_size), samples = padded(n) + padded(n2);
  double heavy = 0;  // nodes of more than 4 times their even share, in double altogether
  if (element_size == sizeof(float)) {
    double largest = 0, shares = 0;
    for (Index j = 0; j < m; ++j) largest = std::max(largest, std::abs(v[j]));
    if (largest > 0)  // so that no sum overflows
      for (Index j = 0; j < m; ++j) shares += std::abs(v[j]) / largest;
    for (Index j = 0; j < m && largest > 0; ++j)
      heavy += std::abs(v[j]) / largest * double(m) > 4 * shares;
  }
  const double result =
      (kDouble + (element_size == sizeof(float) ? element : 0)) * double(n) * double(n2);
  return {result + samples * ((kDouble + element) * double(d) + kDouble * heavy) + 64 * double(m),
          samples * element * double(tuning::kSummed)};
}

}  // namespace asymfast
