// e2e: a driver that offers RSS and refuses it when it is asked for: the port opens all the same.
//
// None of the drivers here does that, so DPDK's call is answered in front of it.
#include <dlfcn.h>
#include <errno.h>

#include <catch2/catch.hpp>

#include "nic_support.hpp"

namespace {

bool refuses_rss = false;
int times_refused = 0;

}  // namespace

extern "C" int rte_eth_dev_configure(std::uint16_t port, std::uint16_t rx, std::uint16_t tx,
                                     const std::uint32_t* configuration) {
  constexpr std::uint32_t rss = 1;  // in rxmode.mq_mode, the third word
  using Configure = int (*)(std::uint16_t, std::uint16_t, std::uint16_t, const std::uint32_t*);
  static const auto configure =
      reinterpret_cast<Configure>(::dlsym(RTLD_NEXT, "rte_eth_dev_configure"));
  if (refuses_rss && (configuration[2] & rss) != 0) return ++times_refused, -ENOTSUP;
  return configure(port, rx, tx, configuration);
}

namespace {

using namespace proa;
using namespace proa::e2e;

/// What the port of four queue pairs says of itself.
std::string described(bool refused) {
  auto child = ChildProcess::start([&](Control& control) {
    refuses_rss = refused;
    DpdkOptions options;
    options.driver = DpdkDriver::vdev;
    options.vdev = "net_null0";
    options.queue_pairs = 4;
    auto port = Port<DpdkNic>::open(options);
    const bool as_meant = times_refused == (refused ? 1 : 0);
    control.send(Verdict{!port      ? port.error()
                         : as_meant ? port->describe().text()
                                    : "RSS was not asked for"});
    return 0;
  });
  return child ? heard(*child) : child.error();
}

}  // namespace

TEST_CASE("a driver that refuses RSS serves without it, and its description says so", "[nic]") {
  const std::string without = described(true);
  INFO(without);
  CHECK(without.find("4 queue pairs") != std::string::npos);
  CHECK(without.find("the driver refused RSS") != std::string::npos);
  const std::string with = described(false);
  INFO(with);
  CHECK(with.find("4 queue pairs") != std::string::npos);
  CHECK(with.find("RSS") == std::string::npos);
}
