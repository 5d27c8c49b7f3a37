// A poller that shares its core notices, also when it sleeps so often that nobody interrupts it.
#include <proa/stack/give_way.hpp>

#include <pthread.h>
#include <unistd.h>

#include <atomic>
#include <catch2/catch.hpp>
#include <thread>

#include <proa/base/clock.hpp>

using namespace proa;
using namespace std::chrono_literals;

namespace {

void stay_on_this_core() {
  cpu_set_t allowed, one;
  CPU_ZERO(&one);
  REQUIRE(::pthread_getaffinity_np(::pthread_self(), sizeof allowed, &allowed) == 0);
  for (int core = 0; core < CPU_SETSIZE; ++core)
    if (CPU_ISSET(core, &allowed)) {
      CPU_SET(core, &one);
      break;
    }
  REQUIRE(::pthread_setaffinity_np(::pthread_self(), sizeof one, &one) == 0);
}

/// Polls in vain for 100 us and sleeps, as an engine between round trips does, until it gives way.
bool gives_way_within(Duration limit) {
  GiveWay give_way;
  for (const Instant end = monotonic_now() + limit; monotonic_now() < end; ::usleep(50)) {
    const Instant worked_at = monotonic_now();
    for (Instant now = worked_at; now - worked_at < 100us; now = monotonic_now())
      give_way.idle(now, worked_at);
    if (give_way.oversubscribed()) return true;
  }
  return false;
}

}  // namespace

TEST_CASE("a poller that sleeps often notices who waits for its core meanwhile", "[stack]") {
  std::atomic<bool> stop{false};
  bool noticed = false;
  std::thread poller{[&] {
    stay_on_this_core();
    std::thread other{[&] {  // inherits the core
      while (!stop.load(std::memory_order_relaxed)) ::sched_yield();
    }};
    noticed = gives_way_within(60s);
    stop.store(true);
    other.join();
  }};
  poller.join();
  CHECK(noticed);
}
