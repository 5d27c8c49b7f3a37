// TEST-MATRIX A1, A2, A3, A9, A22: whatever is lost or corrupted, everything arrives once.
#include "matrix.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

/// Loss of 2 % in bursts of up to 3 and 2 MB to deliver, in one large and many small messages.
Plan transfer_plan(std::uint64_t seed) {
  Plan plan = base_plan(seed);
  add_messages(plan, client, 1, 1'000'000);
  add_messages(plan, client, 1000, 1000);
  return plan;
}
Plan handshake_plan(std::uint64_t seed) {
  Plan plan = base_plan(seed, 50);
  add_messages(plan, client, 1, 1024);
  return plan;
}

template <class Traits>
void demand_delivery(const Plan& plan, Duration limit) {
  Scene<Traits> scene{plan, run_options()};
  // Before the network heals: that is what the row is about.
  REQUIRE(scene.run_until([&] { return scene.everything_arrived(); }, scene.now() + limit));
  for (std::uint32_t pair = 0; pair < plan.pairs; ++pair)
    CHECK(scene.app(server, pair).established());
  scene.conclude();
}

void corrupt(Plan& plan, std::uint32_t ppm, bool single_bit) {
  for (auto& faults : plan.faults) {
    faults.corrupt_ppm = ppm;
    faults.single_bit = single_bit;
  }
}

struct UdpChecksumPolicy : DefaultTransportPolicy {
  using Integrity = UdpChecksum;
};
/// Flows made from now on begin where the test says, at both ends.
struct WrapPolicy : DefaultTransportPolicy {
  static inline StreamStart start{};
  static StreamStart stream_start() noexcept { return start; }
};

}  // namespace

TEST_CASE("50 of 50 connects come through 30 % loss in bursts", "[A1]") {
  for (const auto seed : seeds(20, 200)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = handshake_plan(seed);
    for (auto& faults : plan.faults) faults = random_loss(300'000, 3);
    demand_delivery<Product>(plan, 9s);
  }
}

TEST_CASE("2 MB arrive once and unchanged through 2 % loss in bursts", "[A2]") {
  for (const auto seed : seeds(40, 400)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = transfer_plan(seed);
    for (auto& faults : plan.faults) faults = random_loss(20'000, 3);
    demand_delivery<Product>(plan, 1s);
  }
}

TEST_CASE("2 MB arrive once and unchanged through Gilbert and Elliott's bursts", "[A2]") {
  for (const auto seed : seeds(20, 200)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = transfer_plan(seed);
    for (auto& faults : plan.faults) {  // bad for 20 packets in 1020, half of them lost
      faults.worsen_ppm = 1'000;
      faults.recover_ppm = 50'000;
      faults.bad_loss_ppm = 500'000;
    }
    demand_delivery<Product>(plan, 1s);
  }
}

TEST_CASE("corrupt packets are lost packets: CRC-32C against random bytes", "[A3]") {
  for (const auto seed : seeds(20, 200)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan connects = handshake_plan(seed);
    corrupt(connects, 300'000, false);
    demand_delivery<Product>(connects, 9s);
    Plan transfer = transfer_plan(seed);
    corrupt(transfer, 20'000, false);
    demand_delivery<Product>(transfer, 1s);
  }
}

TEST_CASE("corrupt packets are lost packets: the UDP checksum against single bits",
          "[A3][rfc768]") {
  using Traits = TransportTraits<UdpChecksumPolicy>;
  for (const auto seed : seeds(20, 200)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan connects = handshake_plan(seed);
    corrupt(connects, 300'000, true);
    demand_delivery<Traits>(connects, 9s);
    Plan transfer = transfer_plan(seed);
    corrupt(transfer, 20'000, true);
    demand_delivery<Traits>(transfer, 1s);
  }
}

TEST_CASE("10,000 messages of 1 KB are all delivered at 20 % random loss", "[A9]") {
  for (const auto seed : seeds(10, 100)) {
    INFO("PROA_SIM_SEED=" << seed);
    Plan plan = base_plan(seed);
    add_messages(plan, client, 10'000, 1024);
    for (auto& faults : plan.faults) faults = random_loss(200'000);
    demand_delivery<Product>(plan, 60s);
  }
}

TEST_CASE("packet numbers wrap in the middle of a lossy transfer", "[A22]") {
  for (const auto seed : seeds(10, 100))
    for (const std::uint32_t k : {1U, 2U, 3U, 8U, 64U, 500U, 513U, 1000U}) {
      INFO("PROA_SIM_SEED=" << seed << " starting at 2^32 - " << k);
      Plan plan = transfer_plan(seed);
      for (auto& faults : plan.faults) faults = random_loss(20'000, 3);
      plan.first_number = 0U - k;
      demand_delivery<Product>(plan, 1s);
    }
}

TEST_CASE("message numbers and credit wrap in the middle of a lossy transfer", "[A22]") {
  struct Case {
    std::uint32_t messages, credit_bytes;  // before the wrap
  };
  for (const auto seed : seeds(10, 100))
    for (const Case& k : {Case{1, 0}, Case{2, 1}, Case{3, 1U << 20U}, Case{64, 16 * 1024},
                          Case{500, 1'500'000}, Case{1000, 2'000'000}}) {
      INFO("PROA_SIM_SEED=" << seed << " starting " << k.messages << " messages and "
                            << k.credit_bytes << " bytes below 2^32");
      Plan plan = transfer_plan(seed);
      for (auto& faults : plan.faults) faults = random_loss(20'000, 3);
      WrapPolicy::start = {MessageNumber{0U - k.messages}, CreditLimit{0U - k.credit_bytes}};
      demand_delivery<TransportTraits<WrapPolicy>>(plan, 1s);
    }
}
