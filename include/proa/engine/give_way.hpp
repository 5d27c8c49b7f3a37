// L3: the engine's poller gives way like any other; see base/give_way.hpp.
#pragma once
#include <proa/base/give_way.hpp>  // IWYU pragma: export
