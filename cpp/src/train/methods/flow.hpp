// Any method for gradient flow: one for each member of an ensemble, chosen by its own problem.
#pragma once

#include <utility>
#include <variant>

#include "train/methods.hpp"

namespace asymfast {

template <class T>
class FlowOf {
 public:
  using Method = std::variant<FixedRk4<T>, AdaptiveRk4<T>, Dopri5<T>, Tangent<T>>;

  FlowOf(Method method) : method_(std::move(method)) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) {
    return std::visit([&](auto& method) { return method.step(member, goal, context); }, method_);
  }

  void go_on(Member<T>& member, const Context& context) {
    std::visit([&](auto& method) { method.go_on(member, context); }, method_);
  }

  bool marches() const { return std::holds_alternative<FixedRk4<T>>(method_); }
  Index steps_to(const Member<T>& member, const Goal& goal) {
    return std::get<FixedRk4<T>>(method_).steps_to(member, goal);
  }
  void plan(const Member<T>& member, Index b, const Goal& goal, March& march) {
    std::get<FixedRk4<T>>(method_).plan(member, b, goal, march);
  }
  void marched(Member<T>& member, const Marcher& marcher) {
    std::get<FixedRk4<T>>(method_).marched(member, marcher);
  }

  template <class Visit>
  void state(Visit&& visit) {
    std::visit([&](auto& method) { method.state(visit); }, method_);
  }

 private:
  Method method_;
};

}  // namespace asymfast
