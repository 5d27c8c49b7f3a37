// L4: public entrance: stacks that run in the application's own thread over a NIC.
#pragma once
#include <proa/nic/dpdk.hpp>
#include <proa/stack/in_process.hpp>
#include <proa/stack/stack.hpp>
