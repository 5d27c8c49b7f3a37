// An application of someone else that talks through the sidecar: no DPDK in sight.
#include <proa/sidecar.hpp>

#include <cstdio>

using Net = proa::Stack<proa::Sidecar>;

int main() {
  const auto options = Net::Options::parse("socket=/nonexistent/proad.sock\ntimeout=1s\n");
  if (!options) {
    std::printf("options refused: %s\n", options.error().c_str());
    return 1;
  }
  const auto net = Net::open(*options);
  if (net) {
    std::printf("attached to a sidecar that does not exist\n");
    return 1;
  }
  std::printf("without a sidecar, as it should: %s\n", net.error().c_str());
}
