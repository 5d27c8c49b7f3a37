// An application of someone else that runs the stack itself, over DPDK.
#include <unistd.h>

#include <proa/in_process.hpp>

#include <cstdio>
#include <string>

using Net = proa::Stack<proa::InProcess<proa::DpdkNic>>;

int main() {
  const std::string socket = "/tmp/proa-consumer-" + std::to_string(::getpid()) + ".sock";
  const auto options =
      Net::Options::parse("nic=memif,role=server,socket=" + socket + "\naddress=10.0.0.1/24\n");
  if (!options) {
    std::printf("options refused: %s\n", options.error().c_str());
    return 1;
  }
  auto net = Net::open(*options);
  if (!net) {
    std::printf("no stack: %s\n", net.error().c_str());
    return 1;
  }
  if (!net->listen({.port = 7000}) || net->poll()) return 1;
  std::printf("listening in this process\n");
}
