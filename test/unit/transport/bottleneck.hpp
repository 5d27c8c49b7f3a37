// Flows through one bottleneck queue, on virtual time and in integers only: what a congestion
// controller does, without a transport around it. Loss is noticed as by packet threshold and probe.
#pragma once
#include <algorithm>
#include <cstdint>
#include <deque>
#include <queue>
#include <utility>
#include <vector>

#include <proa/base/prng.hpp>
#include <proa/transport/options.hpp>

namespace proa::test {

struct LinkModel {
  std::uint64_t bits_per_second = 25'000'000'000;
  std::uint32_t queue_packets = 1000;
  std::uint32_t mark_above_packets = ~0U;  // ECN: CE on what finds a longer queue
  std::uint32_t loss_per_mille = 0;        // random, before the queue
  std::uint32_t mark_per_mille = 0;        // random CE
};

template <CongestionController C>
class Bottleneck {
 public:
  struct FlowModel {
    C controller{};
    Duration base_rtt = 40us;
    Instant start{};
    Instant stop = never;
    std::uint64_t delivered_bytes = 0;
    std::uint64_t lost_packets = 0;
    std::uint64_t probes = 0;
    bool backlogged = true;
  };

  Bottleneck(const LinkModel& link, std::uint32_t packet_bytes, std::uint64_t seed)
      : link_(link), packet_bytes_(packet_bytes), prng_(seed) {}

  FlowModel& add(Duration base_rtt, Instant start = {}) {
    flows_.push_back({});
    State& state = flows_.back();
    state.model.base_rtt = base_rtt;
    state.model.start = start;
    state.jitter = Duration{static_cast<std::int64_t>(prng_.below(10'000))};
    state.model.controller.on_packet_size(packet_bytes_);
    push({start, order_++, flows_.size() - 1, 0, Kind::wake, false});
    return state.model;
  }
  [[nodiscard]] FlowModel& flow(std::size_t i) { return flows_[i].model; }
  [[nodiscard]] std::size_t size() const { return flows_.size(); }
  [[nodiscard]] Instant now() const { return now_; }
  [[nodiscard]] std::uint32_t queue() const { return queued_; }
  [[nodiscard]] std::uint32_t longest_queue() { return std::exchange(longest_queue_, queued_); }
  [[nodiscard]] std::uint64_t dropped() const { return dropped_; }

  void run_until(Instant limit) {
    while (!events_.empty() && events_.top().at <= limit) {
      const Event event = events_.top();
      events_.pop();
      now_ = event.at;
      handle(event);
    }
    now_ = limit;
  }
  void reset_counters() {
    for (State& s : flows_) s.model.delivered_bytes = 0;
  }
  /// Jain's index of what was delivered, in thousandths.
  [[nodiscard]] std::uint64_t jain_per_mille() const {
    std::uint64_t sum = 0;
    std::uint64_t squares = 0;
    for (const State& s : flows_) {
      const std::uint64_t x = s.model.delivered_bytes / packet_bytes_;
      sum += x;
      squares += x * x;
    }
    return squares == 0 ? 0 : 1000 * sum / flows_.size() * sum / squares;
  }
  /// Delivered by all since reset_counters(), in thousandths of what the link carries in `time`.
  [[nodiscard]] std::uint64_t utilization_per_mille(Duration time) const {
    std::uint64_t bytes = 0;
    for (const State& s : flows_) bytes += s.model.delivered_bytes;
    const auto ns = static_cast<std::uint64_t>(time.count());
    return bytes * 8 * 1000 / (link_.bits_per_second / 1'000'000 * ns / 1000);
  }
  /// The same, of what is delivered from `from`, which is to come, until `until`.
  [[nodiscard]] std::uint64_t utilization_between(Instant from, Instant until) {
    run_until(from);
    reset_counters();
    run_until(until);
    return utilization_per_mille(until - from);
  }

 private:
  enum class Kind : std::uint8_t { wake, departure, ack };
  struct Event {
    Instant at;
    std::uint64_t order;
    std::size_t flow;
    std::uint64_t packet;
    Kind kind;
    bool marked;
    bool operator<(const Event& other) const {
      return at != other.at ? at > other.at : order > other.order;
    }
  };
  struct Sent {
    Instant at;
    bool done = false;
  };
  struct State {
    FlowModel model;
    std::deque<Sent> sent;  // from index `oldest` on
    std::uint64_t oldest = 0;
    std::uint32_t in_flight = 0;  // packets
    std::uint32_t probes_in_a_row = 0;
    Instant last_sent{};
    Instant paced_until{};
    Instant wake_at = never;
    Instant ack_at{};
    Duration smoothed{};
    bool limited = false;
    Duration jitter{};  // of timers: hosts that start together do not stay together
  };

  void push(const Event& event) { events_.push(event); }
  void wake(std::size_t i, Instant at) {
    if (at >= flows_[i].wake_at) return;
    flows_[i].wake_at = at;
    push({at, order_++, i, 0, Kind::wake, false});
  }
  [[nodiscard]] Duration service() const {
    return Duration{
        static_cast<std::int64_t>(packet_bytes_ * 8ULL * 1'000'000'000ULL / link_.bits_per_second)};
  }

  void handle(const Event& event) {
    State& s = flows_[event.flow];
    switch (event.kind) {
      case Kind::wake:
        if (event.at == s.wake_at) s.wake_at = never;
        if (s.smoothed == Duration{}) return shake_hands(event.flow);
        check_probe(s);
        return transmit(event.flow);
      case Kind::departure:
        --queued_;
        s.model.delivered_bytes += packet_bytes_;
        // Hosts are never quite regular: without it a full queue always drops the same flows.
        s.ack_at = std::max(s.ack_at, now_ + s.model.base_rtt +
                                          Duration{static_cast<std::int64_t>(prng_.below(1000))});
        return push({s.ack_at, order_++, event.flow, event.packet, Kind::ack, event.marked});
      case Kind::ack:
        acknowledge(s, event);
        return transmit(event.flow);
    }
  }

  /// As if a small packet had just come back: what a handshake tells.
  void shake_hands(std::size_t i) {
    State& s = flows_[i];
    AckSample ack;
    ack.now = now_;
    ack.rtt = s.model.base_rtt + std::max(free_at_ - now_, Duration{});
    ack.smoothed_rtt = s.smoothed = ack.rtt;
    ack.minimum_rtt = ack.rtt;
    s.model.controller.on_ack(ack);
    wake(i, now_ + ack.rtt);
  }
  [[nodiscard]] Duration patience(const State& s) const {
    return s.jitter + (2 * s.smoothed + 25us) * (1 << std::min(s.probes_in_a_row, 12U));
  }
  void check_probe(State& s) {
    if (s.in_flight == 0 || now_ < s.last_sent + patience(s)) return;
    ++s.model.probes;
    if (++s.probes_in_a_row == 3) s.model.controller.on_persistent_congestion(now_);
    send(s);
  }
  void transmit(std::size_t i) {
    State& s = flows_[i];
    C& c = s.model.controller;
    s.limited = false;
    while (s.model.backlogged && now_ >= s.model.start && now_ < s.model.stop) {
      s.limited = true;
      if (s.in_flight * packet_bytes_ >= c.window_bytes()) break;
      if (now_ < s.paced_until) {
        wake(i, s.paced_until);
        break;
      }
      const Duration gap = c.pacing_interval(packet_bytes_);
      s.paced_until = gap == Duration{} ? Instant{} : now_ + gap;
      send(s);
    }
    if (s.in_flight != 0) wake(i, s.last_sent + patience(s));
  }
  void send(State& s) {
    const auto i = static_cast<std::size_t>(&s - flows_.data());
    const std::uint64_t index = s.oldest + s.sent.size();
    s.sent.push_back({now_, false});
    s.last_sent = now_;
    ++s.in_flight;
    if (prng_.chance(link_.loss_per_mille, 1000)) return;
    if (queued_ > link_.queue_packets) {
      ++dropped_;
      return;
    }
    const bool marked =
        queued_ > link_.mark_above_packets || prng_.chance(link_.mark_per_mille, 1000);
    ++queued_;
    longest_queue_ = std::max(longest_queue_, queued_);
    free_at_ = std::max(free_at_, now_) + service();
    push({free_at_, order_++, i, index, Kind::departure, marked});
  }
  void acknowledge(State& s, const Event& event) {
    AckSample ack;
    ack.in_flight_bytes = s.in_flight * packet_bytes_;
    s.probes_in_a_row = 0;
    if (event.packet < s.oldest) return;
    Sent& sent = s.sent[event.packet - s.oldest];
    if (sent.done) return;
    sent.done = true;
    --s.in_flight;
    ack.now = now_;
    ack.rtt = now_ - sent.at;
    s.smoothed = s.smoothed == Duration{} ? ack.rtt : (7 * s.smoothed + ack.rtt) / 8;
    ack.smoothed_rtt = s.smoothed;
    ack.minimum_rtt = s.model.base_rtt;
    ack.window_limited = s.limited;
    ack.acked_bytes = packet_bytes_;
    ack.acked_packets = 1;
    ack.ce_marked = event.marked ? 1 : 0;
    ack.delivered = event.packet;
    ack.next_number = s.oldest + s.sent.size();
    s.model.controller.on_ack(ack);
    find_losses(s, event.packet);
  }
  void find_losses(State& s, std::uint64_t newest) {
    LossSample loss;
    for (std::uint64_t i = s.oldest; i + 3 <= newest; ++i) {
      Sent& sent = s.sent[i - s.oldest];
      if (sent.done) continue;
      sent.done = true;
      --s.in_flight;
      ++s.model.lost_packets;
      ++loss.lost_packets;
      loss.lost_bytes += packet_bytes_;
      loss.newest_lost = i;
    }
    while (!s.sent.empty() && s.sent.front().done) {
      s.sent.pop_front();
      ++s.oldest;
    }
    if (loss.lost_packets == 0) return;
    loss.now = now_;
    loss.smoothed_rtt = s.smoothed;
    loss.in_flight_bytes = s.in_flight * packet_bytes_ + loss.lost_bytes;
    loss.next_number = s.oldest + s.sent.size();
    s.model.controller.on_loss(loss);
  }

  LinkModel link_;
  std::uint32_t packet_bytes_;
  Prng prng_;
  std::vector<State> flows_;
  std::priority_queue<Event> events_;
  Instant now_{};
  Instant free_at_{};
  std::uint64_t order_ = 0;
  std::uint64_t dropped_ = 0;
  std::uint32_t queued_ = 0;
  std::uint32_t longest_queue_ = 0;
};

}  // namespace proa::test
