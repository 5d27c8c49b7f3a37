// e2e: the one main of these tests; a test forks before it starts DPDK, never after.
#define CATCH_CONFIG_MAIN
#include <catch2/catch.hpp>
