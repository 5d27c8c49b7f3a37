// L3: the compile-time choices of a stack, members of one struct.
#pragma once
#include <proa/transport/flow.hpp>

namespace proa {

/// Derive and replace what should differ:
/// `struct Mine : DefaultPolicy { using Congestion = Cubic; };`
struct DefaultPolicy : DefaultTransportPolicy {};

namespace detail {

template <class Policy, class Memory>
struct FlowOf {
  using type = Flow<Memory, Policy>;
};
/// A policy may bring its own flow type (tests of the engine do).
template <class Policy, class Memory>
requires requires { typename Policy::template FlowType<Memory>; }
struct FlowOf<Policy, Memory> {
  using type = typename Policy::template FlowType<Memory>;
};

}  // namespace detail

}  // namespace proa
