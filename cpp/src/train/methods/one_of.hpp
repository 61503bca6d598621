// One of several methods, chosen for each member by its own problem. Of the first one, all members
// may be stepped side by side (goal.hpp).
#pragma once

#include <utility>
#include <variant>

#include "train/member.hpp"
#include "train/methods/goal.hpp"

namespace asymfast {

template <class T, class Marching, class... Others>
class OneOf {
 public:
  using Method = std::variant<Marching, Others...>;

  OneOf(Method method) : method_(std::move(method)) {}

  bool step(Member<T>& member, const Goal& goal, const Context& context) {
    return std::visit([&](auto& method) { return method.step(member, goal, context); }, method_);
  }

  void resume(Member<T>& member, const Context& context) {
    std::visit([&](auto& method) { method.resume(member, context); }, method_);
  }

  bool marches() const { return std::holds_alternative<Marching>(method_); }
  Index steps_to(const Member<T>& member, const Goal& goal) {
    return std::get<Marching>(method_).steps_to(member, goal);
  }
  void plan(const Member<T>& member, Index b, const Goal& goal, March& march) {
    std::get<Marching>(method_).plan(member, b, goal, march);
  }
  void marched(Member<T>& member, const Marcher& marcher) {
    std::get<Marching>(method_).marched(member, marcher);
  }

  void serialise(Fields& fields, const Member<T>& member) {
    std::visit([&](auto& method) { method.serialise(fields, member); }, method_);
  }

 private:
  Method method_;
};

}  // namespace asymfast
