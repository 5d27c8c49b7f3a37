// L4: both entrances: stacks in the application's own thread and stacks in a sidecar.
#pragma once
#include <proa/in_process.hpp>
#include <proa/sidecar.hpp>
