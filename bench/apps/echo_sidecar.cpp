// bench/apps: the echo application as a client of proad. Links nothing of DPDK.
#include <proa/sidecar.hpp>

#include "echo.hpp"

int main(int argc, char** argv) {
  return proa::bench::echo_main<proa::Stack<proa::Sidecar>>(argc, argv, "sidecar");
}
