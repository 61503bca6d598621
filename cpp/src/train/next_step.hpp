// The mean of the Jacobian on the way of the next step of gradient descent, from W to W - h J^T r:
// with it on one side, r changes by exactly -h J' J^T r (methods/leap.hpp).
#pragma once

#include <algorithm>
#include <cmath>
#include <optional>
#include <vector>

#include "train/member.hpp"
#include "train/polynomials.hpp"
#include "train/tangent_history.hpp"

namespace asymfast {

// Along the way the Jacobian is a smooth function of its length `way`, the largest change of a
// pre-activation. Its mean is a rule of a few points. Where the end of the step is foretold by
// the points of the past, no evaluation is needed (the trapezoidal rule) or one (Simpson's); else
// one to three are made (Gauss' rules).
template <class T>
class NextStep {
 public:
  // The Jacobian of the engine's base is kept in nodes[0], with points of the past behind it; r is
  // its residual. Evaluations use slots from `scratch` on. Nothing: the way is too long.
  std::optional<Blend> mean(Member<T>& member, const TangentHistory::Nodes& nodes,
                            const std::vector<double>& r, double h, double relative_error,
                            Index scratch, const Context& context) {
    // An error e of A, relative to it, moves r by e h A r a step.
    const double allowed = std::max(kOfError * relative_error, 1e-13);
    Engine<T>& engine = *member.engine;
    const Index here = nodes[0].slot;
    if (nodes.size() >= kEnough && nodes[0].at - nodes[1].at >= kApart) {
      const double steps = nodes[0].at - nodes[1].at;
      const double way = 2 * engine.distance_of_saved(here, nodes[1].slot, context) / steps;
      if (way * way / 12 <= allowed) return foretold(nodes, 0.5, 0.5);
      if (std::pow(way, 4) / 2880 <= allowed) {
        evaluate(member, here, r, -h / 2, scratch, context);
        Blend mean = foretold(nodes, 1.0 / 6, 1.0 / 6);
        mean.add(scratch, 2.0 / 3);
        return mean;
      }
    }
    return by_gauss(member, here, r, h, allowed, scratch, context);
  }

  void serialise(Archive& archive) { archive(gauss_, 1, kMost); }

 private:
  static constexpr double kOfError = 0.3;
  static constexpr std::size_t kEnough = 4;       // points that foretell the next one
  static constexpr double kApart = 4;             // steps between them
  static constexpr std::size_t kForetelling = 5;  // more are not worth reading for a single step
  static constexpr int kMost = 3;                 // points of Gauss' rule

  // share of J at nodes[0], and `later` of J one step later by the polynomial through the nodes.
  static Blend foretold(const TangentHistory::Nodes& nodes, double share, double later) {
    std::vector<double> at;
    for (std::size_t i = 0; i < std::min(nodes.size(), kForetelling); ++i)
      at.push_back(nodes[i].at);
    Blend blend;
    for (std::size_t i = 0; i < at.size(); ++i)
      blend.add(nodes[i].slot, (i == 0 ? share : 0) + later * lagrange(at, i, at[0] + 1));
    return blend;
  }

  void evaluate(Member<T>& member, Index here, const std::vector<double>& r, double by, Index into,
                const Context& context) const {
    Move<T> move{{here}, {}, into, false};
    for (const double x : r) move.u.push_back(T(by * x));
    member.engine->move(move, context);
    ++member.evaluations;
  }

  std::optional<Blend> by_gauss(Member<T>& member, Index here, const std::vector<double>& r,
                                double h, double allowed, Index scratch, const Context& context) {
    constexpr double kPlaces[kMost][kMost] = {
        {0.5},
        {0.21132486540518711775, 0.78867513459481288225},
        {0.11270166537925831148, 0.5, 0.88729833462074168852}};
    constexpr double kWeights[kMost][kMost] = {{1}, {0.5, 0.5}, {5.0 / 18, 4.0 / 9, 5.0 / 18}};
    constexpr double kErrors[kMost] = {1.0 / 24, 1.0 / 4320, 1.0 / 2016000};
    const auto needed = [&](double way) {
      for (int count = 1; count <= kMost; ++count)
        if (kErrors[count - 1] * std::pow(way, 2 * count) <= allowed) return count;
      return kMost + 1;
    };
    for (;;) {
      Blend mean;
      const int tried = gauss_;
      for (int g = 0; g < tried; ++g) {
        evaluate(member, here, r, -h * kPlaces[tried - 1][g], scratch + g, context);
        mean.add(scratch + g, kWeights[tried - 1][g]);
      }
      // sigma'' is about 1 at most.
      const double way = member.engine->distance_of_saved(here, mean.slots.back(), context) /
                         kPlaces[tried - 1][tried - 1];
      if (!std::isfinite(way)) return {};
      const int count = needed(way);
      gauss_ = std::min(count, kMost);
      if (count <= tried) return mean;
      if (tried == kMost) return {};
    }
  }

  int gauss_ = kMost;  // points of the rule that was enough last
};

}  // namespace asymfast
