// When paced packets go, for pollers of every temper.
#include <catch2/catch.hpp>

#include <proa/transport/options.hpp>
#include <proa/transport/pacing.hpp>

using namespace proa;

namespace {

/// Packets sent in `time` by a poller that looks every `turn`.
int sent_in(Duration time, Duration turn, Duration interval, Duration rtt) {
  Pacer pacer;
  int sent = 0;
  for (Instant now{1s}; now < Instant{1s} + time; now += turn) {
    while (pacer.may_send(now)) {
      pacer.on_sent(now, interval, rtt);
      ++sent;
    }
  }
  return sent;
}

}  // namespace

TEST_CASE("without an interval pacing holds nothing back") {
  Pacer pacer;
  for (int i = 0; i < 100; ++i) {
    CHECK(pacer.may_send(Instant{1s}));
    pacer.on_sent(Instant{1s}, 0ns, 40us);
  }
}

TEST_CASE("the rate holds however coarse the turns are, up to a quarter of a round") {
  for (const Duration turn : {Duration{10ns}, Duration{500ns}, Duration{2us}, Duration{5us}})
    CHECK(std::abs(sent_in(1ms, turn, 500ns, 40us) - 2000) <= 20);
  CHECK(std::abs(sent_in(1ms, 10us, 1us, 40us) - 1000) <= 20);
  // A poller slower than that loses rate rather than bursting.
  CHECK(sent_in(1ms, 100us, 500ns, 40us) <= 10 * 22);
}

TEST_CASE("an idle flow saves up no more than sixteen packets") {
  Pacer pacer;
  pacer.on_sent(Instant{1s}, 500ns, 1ms);
  int burst = 0;
  for (; pacer.may_send(Instant{2s}); ++burst) pacer.on_sent(Instant{2s}, 500ns, 1ms);
  CHECK(burst == Pacer::burst_packets + 1);
}

TEST_CASE("an interval longer than the round trip is kept exactly") {
  CHECK(sent_in(10ms, 1us, 100us, 40us) == 101);  // at 0, 90, 190 us ...
  Pacer pacer;
  pacer.on_sent(Instant{1s}, 100us, 40us);
  pacer.on_sent(Instant{2s}, 100us, 40us);
  CHECK_FALSE(pacer.may_send(Instant{2s} + 89us));
  CHECK(pacer.may_send(Instant{2s} + 90us));
}
