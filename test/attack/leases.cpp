// Attack tests: leases that were not lent, given back to a whole sidecar among other applications.
#include <catch2/catch.hpp>

#include <array>
#include <chrono>
#include <cstring>
#include <limits>
#include <memory>
#include <thread>
#include <vector>

#include <proa/base/prng.hpp>

#include "../boat_without_nic.hpp"

namespace proa {
namespace {

using namespace std::chrono_literals;
using Net = Stack<Sidecar>;

constexpr std::uint16_t port = 7000;
constexpr std::size_t large = 5'000;  // too much for a slot: it is lent

std::vector<std::byte> letter(std::uint64_t seed) {
  Prng random{seed};
  std::vector<std::byte> out(large);
  for (std::byte& one : out) one = static_cast<std::byte>(random.next32());
  return out;
}

bool is_letter(std::span<const std::byte> bytes, std::uint64_t seed) {
  const auto want = letter(seed);
  return std::equal(bytes.begin(), bytes.end(), want.begin(), want.end());
}

/// Sends everybody who connects a letter and gives what he is sent back.
void serve(Net& postman, std::uint64_t& seed) {
  while (auto event = postman.poll()) {
    if (event->kind == EventKind::accepted)
      REQUIRE(postman.send(event->flow, std::span<const std::byte>{letter(seed++)}));
    if (event->kind == EventKind::message)
      REQUIRE(postman.send(event->flow, event->message.bytes()));
  }
  postman.flush();
}

template <class Done>
bool sail(Net& postman, std::uint64_t& seed, Done&& done) {
  const auto end = std::chrono::steady_clock::now() + 60s;
  while (!done()) {
    if (std::chrono::steady_clock::now() > end) return false;
    serve(postman, seed);
  }
  return true;
}

std::optional<Net::Message> next_message(Net& net, Net& postman, std::uint64_t& seed) {
  std::optional<Net::Message> out;
  static_cast<void>(sail(postman, seed, [&] {
    while (auto event = net.poll())
      if (event->kind == EventKind::message) out.emplace(std::move(event->message));
    net.flush();
    return out.has_value();
  }));
  return out;
}

/// An application that writes into its ring of returned leases behind its client's back.
class Forger {
 public:
  explicit Forger(const std::string& path) : attached_(attach(path)) {
    AttachedChannel& channel = attached_.channel;
    memory_ = std::make_unique<ClientMemory>(channel.geometry, std::move(channel.send),
                                             std::move(channel.receive));
    client_ = std::make_unique<ChannelClient>(*memory_, std::move(channel.bell));
    const RegionLayout layout = send_layout(memory_->geometry());
    const auto* theirs = reinterpret_cast<const ChannelHead*>(memory_->receive_region());
    returns_ =
        RingWriter{reinterpret_cast<RingSlot*>(memory_->send_region() + layout.second_offset()),
                   layout.second_slots, &theirs->second_reader};
  }

  /// Its letter has come: the first lease of this channel, {0, 1}.
  [[nodiscard]] bool holds_letter() {
    ChannelEvent event;
    while (client_->poll(event))
      if (event.kind == ChannelEventKind::message) held_ = event.message.length == large;
    client_->flush();
    return held_;
  }
  void connect() {
    REQUIRE(client_->connect({IpAddress::v4(10, 0, 0, 1), port}, Instant::max()));
    client_->flush();
  }
  void give_back(LeaseName name) {
    std::array<LeaseName, leases_per_slot> names{};
    names[0] = name;
    put_head(returns_.body(), {0, 0, 1, 0});
    put_content(returns_.body(), names);
    returns_.publish();
    // The client's own next request rings the bell.
    static_cast<void>(client_->connect({IpAddress::v4(10, 0, 0, 1), 1}, Instant::max()));
    client_->flush();
  }
  [[nodiscard]] bool put_ashore() {
    ChannelEvent event;
    while (client_->poll(event)) {
    }
    client_->check();
    return client_->lost();
  }

 private:
  static ControlClient::Attached attach(const std::string& path) {
    AttachOptions options;
    options.path = path;
    options.name = "forger";
    options.timeout = 60s;
    auto attached = ControlClient::attach(options);
    if (!attached) throw std::runtime_error{attached.error()};
    return std::move(*attached);
  }

  ControlClient::Attached attached_;
  std::unique_ptr<ClientMemory> memory_;
  std::unique_ptr<ChannelClient> client_;
  RingWriter returns_;
  bool held_ = false;
};

}  // namespace

TEST_CASE("who gives back leases that are not his goes ashore, others keep what they hold",
          "[attack][c7]") {
  const test::BoatWithoutNic boat;
  std::uint64_t seed = 1;
  Net postman = boat.board("postman"), honest = boat.board("honest");
  REQUIRE(postman.listen({port}));
  const auto flow = honest.connect({IpAddress::v4(10, 0, 0, 1), port});
  REQUIRE(flow);
  const auto held = next_message(honest, postman, seed);  // the lease {0, 1} of its own channel
  REQUIRE(held);
  REQUIRE(is_letter(held->bytes(), 1));

  Forger forger{boat.path()};
  SECTION("another application's") { forger.give_back({0, 1}); }
  SECTION("out of range") { forger.give_back({std::numeric_limits<std::uint32_t>::max(), 1}); }
  SECTION("its own, twice") {
    forger.connect();
    REQUIRE(sail(postman, seed, [&] { return forger.holds_letter(); }));
    forger.give_back({0, 1});
    forger.give_back({0, 1});
  }
  SECTION("its own of another generation") {
    forger.connect();
    REQUIRE(sail(postman, seed, [&] { return forger.holds_letter(); }));
    forger.give_back({0, 2});
  }
  CHECK(sail(postman, seed, [&] { return forger.put_ashore(); }));
  CHECK(boat.status("json").find("\"lease returned that was not out\":1") != std::string::npos);

  CHECK(is_letter(held->bytes(), 1));
  for (std::uint64_t round = 100; round < 120; ++round) {
    REQUIRE(honest.send(*flow, std::span<const std::byte>{letter(round)}));
    const auto back = next_message(honest, postman, seed);
    REQUIRE(back);
    CHECK(is_letter(back->bytes(), round));
  }
  CHECK(is_letter(held->bytes(), 1));
}

}  // namespace proa
