// stack: what stacks in process do about a link that is lost while nobody looks.
#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>
#include <catch2/catch.hpp>

#include <proa/ipc/shm.hpp>

#include "sim_placement.hpp"

namespace {

/// Has a descriptor as NICs do that tell when a frame arrives; none ever does.
struct SilentNic : proa::SimNic {
  SilentNic(proa::SimPort& port, int descriptor) noexcept : SimNic(port, 0), fd(descriptor) {}
  std::size_t wait_descriptors(std::span<int> out) noexcept {
    out[0] = fd;
    return 1;
  }
  int fd;
};

}  // namespace

namespace proa {

/// Nobody opens one: its queue pair is lent.
template <>
class Port<SilentNic> {
 public:
  struct Options {};
};

}  // namespace proa

namespace {

using namespace stack_tests;

using SimStack = InProcess<SimNic, VirtualPolicy>;

std::uint64_t announced_by(const SimStack& stack) {
  return stack.engine().interface().counters().announcements_sent;
}

}  // namespace

TEST_CASE("When the first stack of a port is closed another announces a link that comes back") {
  SimNetwork network{1};
  network.advance(VirtualClock::now);
  SimPort owned{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}, .queues = 2}};
  Port<SimNic> port{{&owned}};
  SimStack::Options options;
  options.engine.flows_max = 64;
  options.interface.addresses = {{IpAddress::v4(10, 0, 0, 1), 24}};
  auto first = SimStack::open(port, options).value();
  auto second = SimStack::open(port, options).value();
  const auto turns = [&] {
    for (int i = 0; i < 5; ++i) {
      VirtualClock::now += 1s;
      for (int n = 0; n < 4; ++n) {
        if (first) first->turn();
        second->turn();
      }
    }
  };
  turns();
  CHECK(announced_by(*first) == 2);
  CHECK(announced_by(*second) == 0);
  first.reset();
  owned.set_link_up(false);
  owned.set_link_up(true);
  turns();
  CHECK(announced_by(*second) == 2);
}

TEST_CASE("A stack that sleeps looks at its link once a second, by either way of sleeping") {
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}}};
  const int silent = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  using Placement = InProcess<SilentNic>;
  Placement::Options options;
  options.engine.flows_max = 64;
  options.interface.addresses = {{IpAddress::v4(10, 0, 0, 1), 24}};
  options.interface.announce = false;
  auto stack = Placement::adopt(SilentNic{port, silent}, options).value();
  const auto rest = [&] {
    for (int i = 0; i < 4; ++i) stack->turn();
  };
  rest();
  REQUIRE(stack->arm());
  pollfd handle{stack->native_handle(), POLLIN, 0};
  CHECK(::poll(&handle, 1, 5000) == 1);
  rest();
  const Instant before = stack->now();
  while (stack->now() - before < 900ms) {
    stack->sleep(before + 5s);  // the first ones spin
    stack->turn();
  }
  CHECK(stack->now() - before < 3s);
  ::close(silent);
}

namespace {

/// How often a stack has announced its addresses that slept until news of its link came; nothing if
/// so much time passed that it had other reasons to.
std::optional<std::uint64_t> announced_after_news(bool armed) {
  SimNetwork network{1};
  SimPort port{network, {.mac = MacAddress{{2, 0, 0, 0, 0, 1}}}};
  const OwnedFd news{::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
  using Placement = InProcess<SilentNic>;
  Placement::Options options;
  options.engine.flows_max = 64;
  options.spin = Duration::zero();
  options.interface.addresses = {{IpAddress::v4(10, 0, 0, 1), 24}};
  auto stack = Placement::adopt(SilentNic{port, news.get()}, options).value();
  const Instant began = stack->now();
  const auto rest = [&] {
    for (int i = 0; i < 4; ++i) stack->turn();
  };
  rest();  // looks at the link and announces; again a second later
  port.set_link_up(false);
  port.set_link_up(true);
  rest();  // awake it looks again after 100 ms
  const bool early = stack->now() - began < 90ms;
  const auto before = stack->engine().interface().counters().announcements_sent;
  ::eventfd_write(news.get(), 1);
  if (armed)
    CHECK(stack->arm());
  else
    stack->sleep(stack->now() + 5s);
  rest();
  if (!early || stack->now() - began > 900ms) return std::nullopt;
  CHECK(before == 1);
  return stack->engine().interface().counters().announcements_sent;
}

}  // namespace

TEST_CASE("A stack that news of its link wakes looks at it at once, by either way of sleeping") {
  for (const bool armed : {false, true}) {
    CAPTURE(armed);
    std::optional<std::uint64_t> announced;
    for (int tries = 0; !announced && tries < 1000; ++tries)
      announced = announced_after_news(armed);
    CHECK(announced == 2U);
  }
}
