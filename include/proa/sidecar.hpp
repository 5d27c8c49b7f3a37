// The entrance for programs whose stack runs in a sidecar: `proa::Stack<proa::Sidecar>`.
#pragma once
#include <proa/stack/sidecar.hpp>
#include <proa/stack/stack.hpp>
