// bench: two whole engines in one thread on a cable that costs next to nothing, on virtual time:
// what is left is the stack's own work, and it is the same work in every run.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <proa/engine/engine.hpp>
#include <proa/mem/heap_memory.hpp>
#include <utility>
#include <vector>

namespace proa::bench {

/// Packet buffers of one thread, for both ends of a cable.
class QuietBuffers {
 public:
  static constexpr std::uint32_t frame_bytes = 1514, packets = 1024;

  QuietBuffers() : bytes_(std::size_t{packets} * frame_bytes) {
    for (std::uint32_t i = 0; i < packets; ++i) give_back(&bytes_[std::size_t{i} * frame_bytes]);
  }
  std::size_t take(std::span<Packet> out) noexcept {
    const std::size_t n = std::min(out.size(), free_.size());
    for (std::size_t i = 0; i < n; ++i, free_.pop_back()) {
      std::byte* const data = free_.back();
      out[i] = Packet{data, 0, 0, frame_bytes, data};
    }
    return n;
  }
  void give_back(std::byte* data) { free_.push_back(data); }

 private:
  std::vector<std::byte> bytes_;
  std::vector<std::byte*> free_;
};

/// Models Nic. What one end sends the other finds at its next look; nothing is lost.
class QuietNic {
 public:
  QuietNic(QuietBuffers& buffers, MacAddress mac) : buffers_(&buffers) { offers_.mac = mac; }
  void join(QuietNic& other) noexcept { other_ = &other; }

  [[nodiscard]] NicCapabilities capabilities() const noexcept { return offers_; }
  [[nodiscard]] NicCounters counters() const noexcept { return {}; }
  [[nodiscard]] bool link_up() const noexcept { return true; }
  [[nodiscard]] std::uint64_t link_interruptions() const noexcept { return 0; }
  std::size_t allocate(std::span<Packet> out) noexcept { return buffers_->take(out); }
  void release(std::span<Packet> packets) noexcept {
    for (Packet& packet : packets)
      if (packet) buffers_->give_back(static_cast<std::byte*>(packet.release_handle()));
  }
  std::size_t rx_burst(Instant, std::span<Packet> out) noexcept {
    const std::size_t n = std::min<std::size_t>(out.size(), put_ - taken_);
    for (std::size_t i = 0; i < n; ++i) out[i] = std::move(ring_[taken_++ % ring_.size()]);
    return n;
  }
  std::size_t tx_burst(Instant, std::span<Packet> packets) noexcept {
    std::size_t n = 0;
    for (; n < packets.size() && other_->put_ - other_->taken_ < other_->ring_.size(); ++n)
      other_->ring_[other_->put_++ % other_->ring_.size()] = std::move(packets[n]);
    return n;
  }
  std::size_t wait_descriptors(std::span<int>) noexcept { return 0; }
  bool arm_wait() noexcept { return true; }
  void disarm_wait() noexcept {}

 private:
  QuietBuffers* buffers_;
  QuietNic* other_ = nullptr;
  NicCapabilities offers_;
  std::array<Packet, 256> ring_;  // what has arrived here
  std::uint32_t put_ = 0, taken_ = 0;
};
static_assert(Nic<QuietNic>);

/// Models AppSideOf: keeps `window` messages of `size` bytes under way, or takes what comes.
class QuietSide {
 public:
  using Memory = HeapMemory;

  template <class EngineT>
  std::uint32_t pull(EngineT& engine, Instant now) noexcept {
    std::uint32_t handled = 0;
    for (; flow && submitted - *delivered_there_ < window; ++handled, ++submitted) {
      const auto block = memory_.allocate_send(size);
      if (!block) break;
      if (engine.submit(now, *flow, *block, false)) continue;
      memory_.release(*block);
      break;
    }
    return handled;
  }
  std::optional<AppCookie> accept(std::uint32_t app, FlowKey, const Endpoint&,
                                  const Endpoint&) noexcept {
    return AppCookie{app, 0};
  }
  bool room(std::uint32_t) noexcept { return true; }
  void deliver(AppCookie, FlowKey key, const FlowEvent& event) noexcept {
    if (event.kind == FlowEventKind::connected) flow = key;
    if (event.kind == FlowEventKind::closed) flow.reset();
    if (event.kind != FlowEventKind::message) return;
    memory_.release(event.message);
    ++delivered;
  }
  Memory& memory(std::uint32_t) noexcept { return memory_; }
  void publish(Instant) noexcept {}
  void send_to(const QuietSide& other) noexcept { delivered_there_ = &other.delivered; }

  std::optional<FlowKey> flow;  // our own, once it is connected
  std::uint32_t size = 64, window = 1;
  std::uint64_t submitted = 0, delivered = 0;  // messages

 private:
  HeapMemory memory_;
  const std::uint64_t* delivered_there_ = &delivered;
};

/// The first end sends messages to the second. `turn_time` is what a turn of both takes.
template <class Policy>
class QuietPair {
 public:
  static constexpr Duration turn_time{500};

  explicit QuietPair(const FlowOptions& flow) : ends_{{buffers_, flow, 1}, {buffers_, flow, 2}} {
    for (std::size_t i = 0; i < 2; ++i) ends_[i].nic.join(ends_[1 - i].nic);
    ends_[0].side.send_to(ends_[1].side);
  }
  /// False: they do not come together.
  [[nodiscard]] bool connect() {
    const Endpoint server{address(2), 7000};
    if (!ends_[1].engine.listen(0, server.port)) return false;
    if (!ends_[0].engine.connect(now_, {}, server, never)) return false;
    for (int i = 0; i < 10'000 && !ends_[0].side.flow; ++i) turn();
    return ends_[0].side.flow.has_value();
  }
  void turn() noexcept {
    now_ += turn_time;
    for (End& end : ends_) timers_ += end.engine.turn([this] { return now_; }).timers;
  }
  [[nodiscard]] QuietSide& sender() noexcept { return ends_[0].side; }
  [[nodiscard]] std::uint64_t delivered() const noexcept { return ends_[1].side.delivered; }
  [[nodiscard]] std::uint64_t timers() const noexcept { return timers_; }  // that came to an end

 private:
  static IpAddress address(std::uint8_t number) { return IpAddress::v4(10, 0, 0, number); }
  struct End {
    End(QuietBuffers& buffers, const FlowOptions& flow, std::uint8_t number)
        : nic(buffers, {{2, 0, 0, 0, 0, number}}),
          engine(nic, side, options(flow, number), Instant{}) {}
    static EngineOptions options(const FlowOptions& flow, std::uint8_t number) {
      InterfaceOptions at;
      at.mac = MacAddress{{2, 0, 0, 0, 0, number}};
      at.addresses = {{address(number), 24}};
      at.announce = false;
      EngineOptions out;
      out.interface = InterfacePlan::make(at).value();
      out.flow = flow;
      out.seed = number;
      out.flow.incarnation = number;
      return out;
    }
    QuietNic nic;
    QuietSide side;
    Engine<QuietNic, QuietSide, Policy> engine;
  };

  QuietBuffers buffers_;
  End ends_[2];
  Instant now_{};
  std::uint64_t timers_ = 0;
};

}  // namespace proa::bench
