// What flows of one engine wait for each other: a small message beside large ones leaves after a
// few scheduling quanta, whatever the others have to send.
#include <cstdio>

#include "hosts.hpp"

using namespace proa;
using namespace proa::sim;

namespace {

constexpr std::uint32_t large_bytes = 8U << 20U, small_bytes = 64;
constexpr std::uint32_t frame_bytes_max = 1514;
constexpr double made_bytes_max =
    64.0 * frame_bytes_max;  // the engine's frames that the ring refused

HostsOptions options(CongestionKind kind) {
  HostsOptions out;
  out.mtu_bytes = 1500;
  out.receive_bytes = std::uint64_t{2} << 30U;  // two messages of each: memory is not the subject
  out.engine.flow.congestion = kind;
  return out;
}

/// One flow of messages of 64 B beside `count` that always have 8 MiB and more to send.
class SmallAmongLarge {
 public:
  SmallAmongLarge(std::uint32_t count, CongestionKind kind) : hosts_(options(kind)), prng_(count) {
    small_flow_ = hosts_.connect(0, 1);
    small_end_ = hosts_.accepted(1, 0, hosts_.info(0, small_flow_)).value;
    learn_id_of_small();
    for (std::uint32_t i = 0; i < count; ++i) {
      large_flows_.push_back(hosts_.connect(0, 1));
      large_.emplace_back(7, i, large_bytes);
      ends_[hosts_.accepted(1, 0, hosts_.info(0, large_flows_[i])).value] = i;
    }
  }
  /// The engine was away, has read what came meanwhile and begun to fill the open windows.
  void send_behind_open_windows() {
    offer_large();
    hosts_[0].rest_until = hosts_.now() + 100us;
    hosts_.run_for(100us - 1ns);
    for (int turn = 0; turn < 2; ++turn) hosts_.poll(0);
    send_small();
  }
  /// At any time of their transfers.
  void send_in_between() {
    hosts_.run_for(Duration{static_cast<std::int64_t>(prng_.below(40'000))});
    offer_large();
    send_small();
  }
  void send_all() {
    for (int i = 0; i < 60; ++i) {
      send_in_between();
      if (i % 2 == 0) send_behind_open_windows();
    }
  }
  void finish() {
    hosts_.converge();
    CHECK(small_.right());
    for (const Stream& stream : large_) CHECK(stream.right());
  }
  /// Of the large flows: bytes of frames that left between a small message's submit and itself,
  /// less those that were made before and wait for room in the NIC's ring.
  [[nodiscard]] double most_quanta() const noexcept { return most_quanta_; }
  /// From submit to delivery; the NIC's ring and the cable's queue are part of it.
  [[nodiscard]] Duration longest() const noexcept { return longest_; }

 private:
  void learn_id_of_small() {
    hosts_[0].watch = [this](Instant, std::span<const std::byte> frame) {
      small_id_ = header_of(frame).source_flow;
      return false;
    };
    hosts_.app(1).on_event = [this](FlowKey key, const FlowEvent& event) { on_event(key, event); };
    send_small();
    hosts_.run_for(1ms);
    hosts_[0].watch = [this](Instant, std::span<const std::byte> frame) {
      count(header_of(frame), frame.size());
      return false;
    };
  }
  static PacketHeader header_of(std::span<const std::byte> frame) {
    PacketHeader header;
    constexpr std::size_t headers = ethernet_header_bytes + ipv4_header_bytes + udp_header_bytes;
    if (frame.size() > headers) (void)PacketHeader::parse(frame.subspan(headers), header);
    return header;
  }
  void count(const PacketHeader& header, std::size_t frame_bytes) {
    // A full ring refuses a frame, which then comes again.
    const auto frame = std::pair{header.source_flow, header.number.wire()};
    if (std::exchange(newest_, frame) == frame) return;
    small_left_ = small_left_ || header.source_flow == small_id_;
    if (!small_left_) bytes_before_ += frame_bytes;
  }
  void on_event(FlowKey key, const FlowEvent& event) {
    if (event.kind != FlowEventKind::message) return;
    if (key.value == small_end_)
      small_.arrived(event);
    else
      large_[ends_[key.value]].arrived(event);
  }
  void offer_large() {
    for (std::uint32_t i = 0; i < large_.size(); ++i)
      large_[i].fill(hosts_, 0, 0, large_flows_[i], large_[i].arrived() + 2);
  }
  void send_small() {
    const Instant submitted = hosts_.now();
    const std::uint64_t full_before = hosts_[0].engine.counters().tx_ring_full;
    small_left_ = false;
    bytes_before_ = 0;
    small_.fill(hosts_, 0, 0, small_flow_, small_.offered() + 1);
    REQUIRE(hosts_.run_until([&] { return small_.arrived() == small_.offered(); },
                             hosts_.now() + 100ms));
    const bool made_before = hosts_[0].engine.counters().tx_ring_full != full_before;
    const double others = static_cast<double>(bytes_before_) - (made_before ? made_bytes_max : 0.0);
    most_quanta_ = std::max(most_quanta_, others / EngineOptions{}.quantum_bytes);
    longest_ = std::max(longest_, hosts_.now() - submitted);
  }

  Hosts<> hosts_;
  Prng prng_;
  FlowKey small_flow_;
  std::uint32_t small_end_ = 0, small_id_ = 0;
  std::vector<FlowKey> large_flows_;
  std::map<std::uint32_t, std::uint32_t> ends_;  // the receiver's keys of the large flows
  Stream small_{7, 1000, small_bytes};
  std::vector<Stream> large_;
  bool small_left_ = false;
  std::pair<std::uint32_t, std::uint32_t> newest_{};  // frame offered to the NIC
  std::uint64_t bytes_before_ = 0;
  double most_quanta_ = 0;
  Duration longest_{};
};

}  // namespace

// A fixed window: Swift's may be less than one packet here, and what its pacing holds back is not
// waiting for the others' turns. Two quanta: one may be left of a share that a turn's end cut
// short.
TEST_CASE("a small message waits for two quanta and a packet of each large flow beside it",
          "[scheduling]") {
  constexpr double share = 2 + frame_bytes_max / 12e3;
  REQUIRE(EngineOptions{}.quantum_bytes == 12'000);
  for (const std::uint32_t count : {1U, 8U, 32U}) {
    SmallAmongLarge world{count, CongestionKind::fixed_window};
    world.send_all();
    std::printf("%2u large flows: %4.1f quanta before it, %5.1f us\n", count, world.most_quanta(),
                static_cast<double>(world.longest().count()) / 1e3);
    CAPTURE(count);
    CHECK(world.most_quanta() <= count * share);
    CHECK(world.longest() < 500us);
    world.finish();
  }
}

// How long it takes only: with 32 large flows Swift's window is below a packet per round trip, and
// what the pacing holds back is not waiting for a turn. Cubic keeps the NIC's ring full.
TEST_CASE("a small message does not wait for large flows whose windows a controller sets",
          "[scheduling]") {
  for (const CongestionKind kind : {CongestionKind::swift, CongestionKind::cubic})
    for (const std::uint32_t count : {1U, 7U, 8U, 32U}) {
      SmallAmongLarge world{count, kind};
      world.send_all();
      std::printf("%2u large flows under %s: %5.1f us\n", count,
                  kind == CongestionKind::swift ? "Swift" : "Cubic",
                  static_cast<double>(world.longest().count()) / 1e3);
      CAPTURE(kind, count);
      CHECK(world.longest() < 500us);
      world.finish();
    }
}
