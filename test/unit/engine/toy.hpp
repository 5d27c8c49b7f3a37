// A flow without reliability and an application's side that remembers: what the engine's own tests
// drive it with.
#pragma once
#include <cstring>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <vector>

#include <proa/engine/engine.hpp>
#include <proa/mem/heap_memory.hpp>
#include <proa/nic/sim.hpp>
#include <proa/wire/address_text.hpp>

namespace toy {

using namespace proa;
using namespace std::chrono_literals;

/// Speaks just enough of the wire format: SYN, SYN-ACK, one message per packet, nothing repeated
/// but the SYN. Wants memory when told to by the test.
template <class Memory>
class ToyFlow {
 public:
  ToyFlow(Role role, const FlowIdentity& who, const FlowOptions& options, Memory& memory,
          ScratchPool&, std::uint64_t, Instant now, Instant deadline) noexcept
      : who_(who), options_(&options), memory_(&memory), deadline_(deadline), next_syn_(now) {
    state_ = role == Role::client ? FlowState::syn_sent : FlowState::syn_received;
    ++alive;
  }
  ToyFlow(const ToyFlow&) = delete;
  ToyFlow& operator=(const ToyFlow&) = delete;
  ~ToyFlow() {
    for (auto& block : queue_) memory_->release(block);
    for (auto& event : events_)
      if (event.kind == FlowEventKind::message) memory_->release(event.message);
    --alive;
  }

  Expected<MessageNumber> submit(Instant, const MessageBlock& block, bool) noexcept {
    if (state_ >= FlowState::closing) return failed(Reason::flow_closing);
    queue_.push_back(block);
    return MessageNumber{sent_++};
  }
  Expected<void> close(Instant now, Instant) noexcept {
    end(now, Reason::closed_by_application);
    return {};
  }
  void reset(Instant now, Reason why) noexcept { end(now, why); }

  bool has_event() const noexcept { return !events_.empty(); }
  std::optional<FlowEvent> poll_event() noexcept {
    if (events_.empty()) return std::nullopt;
    const FlowEvent event = events_.front();
    events_.pop_front();
    return event;
  }
  Reason submit(Instant now, const MessageBlock& block, bool notify,
                MessageNumber& number) noexcept {
    const auto done = submit(now, block, notify);
    if (done) number = *done;
    return done ? Reason::none : done.error();
  }
  bool poll_event(FlowEvent& event) noexcept {
    const auto next = poll_event();
    if (next) event = *next;
    return next.has_value();
  }
  bool wants_memory() const noexcept { return wants_memory_ != 0; }
  bool take_memory(Instant, bool) noexcept {
    const auto block = memory_->reserve(wants_memory_);
    if (!block) return false;
    reserved = *block;
    wants_memory_ = 0;
    return true;
  }

  void accept_syn(const PacketHeader&, const SynBody&, const Arrival&) noexcept {
    ++syns_seen;
    reply_syn_ack_ = true;
  }
  Drop handle_datagram(const Arrival& arrival, ByteView datagram) noexcept {
    VerifiedPacket packet;
    if (verify_packet<Crc32c>(datagram, packet) != Drop::none) return Drop::bad_checksum;
    uncertainty = arrival.uncertainty;
    switch (packet.header.type) {
      case PacketType::syn_ack:
        if (state_ != FlowState::syn_sent) return Drop::none;
        who_.peer_id = packet.header.source_flow;
        establish(FlowEventKind::connected);
        return Drop::none;
      case PacketType::refuse:
        end(arrival.now, static_cast<Reason>(packet.body[0]));
        return Drop::none;
      case PacketType::unknown_flow:
        end(arrival.now, Reason::peer_restarted);
        return Drop::none;
      default:
        break;
    }
    if (state_ == FlowState::syn_received) establish(FlowEventKind::accepted);
    return take_message(packet.body);
  }

  std::size_t poll_transmit(Instant now, MutableBytes out) noexcept {
    PacketHeader header;
    header.destination_flow = who_.peer_id;
    header.source_flow = who_.local_id;
    std::size_t size = PacketHeader::size;
    if (state_ == FlowState::syn_sent) {
      if (now < next_syn_) return 0;
      next_syn_ = now + 10ms;
      header.type = PacketType::syn;
      SynBody body;
      body.incarnation = options_->incarnation;
      body.server_port = who_.peer.port;
      body.client_port = who_.local.port;
      std::memset(out.data(), 0, syn_bytes);
      (void)body.write(out.subspan(PacketHeader::size));
      size = syn_bytes - 4;
    } else if (std::exchange(reply_syn_ack_, false)) {
      header.type = PacketType::syn_ack;
    } else if (established() && !queue_.empty()) {
      const MessageBlock block = queue_.front();
      queue_.pop_front();
      memory_->read(block, 0, out.subspan(size, block.length));
      size += block.length;
      memory_->release(block);
    } else {
      return 0;
    }
    header.write(out.first<PacketHeader::size>());
    Crc32c::seal(out.first(size + 4));
    return size + 4;
  }
  bool wants_transmit(Instant now) const noexcept {
    return (state_ == FlowState::syn_sent && now >= next_syn_) || reply_syn_ack_ ||
           (established() && !queue_.empty());
  }
  void handle_timeout(Instant now, bool) noexcept {
    ++timeouts;
    if (now >= linger_) state_ = FlowState::finished;
    if (now >= linger_) linger_ = never;
    if (now >= deadline_) end(now, Reason::handshake_timeout);
    if (now >= timer) timer = never;
  }
  Instant next_timeout() const noexcept {
    const Instant syn = state_ == FlowState::syn_sent ? next_syn_ : never;
    return std::min({syn, deadline_, linger_, timer});
  }
  bool finished() const noexcept { return state_ == FlowState::finished && events_.empty(); }
  FlowState state() const noexcept { return state_; }
  const FlowIdentity& identity() const noexcept { return who_; }
  FlowInfo info() const noexcept {
    FlowInfo out;
    out.local = who_.local;
    out.peer = who_.peer;
    out.state = state_;
    return out;
  }
  const char* broken_invariant() const noexcept { return nullptr; }
  void say_misrouted(bool) noexcept {}
  void on_path_change(Instant) noexcept {}
  std::uint32_t unanswered() const noexcept { return 0; }
  Instant answered_sent_at(Instant) const noexcept { return never; }
  Duration answer_time() const noexcept { return 1ms; }

  void want_memory(std::uint32_t bytes) noexcept { wants_memory_ = bytes; }

  static inline int alive = 0;
  std::optional<MessageBlock> reserved;
  Instant timer = never;
  Duration uncertainty{};
  int timeouts = 0;
  int syns_seen = 0;

 private:
  bool established() const noexcept { return state_ == FlowState::open; }
  void establish(FlowEventKind kind) noexcept {
    state_ = FlowState::open;
    deadline_ = never;
    FlowEvent event;
    event.kind = kind;
    events_.push_back(event);
  }
  Drop take_message(ByteView bytes) noexcept {
    const auto block = memory_->reserve(static_cast<std::uint32_t>(bytes.size()));
    if (!block) return Drop::no_memory;
    memory_->write(*block, 0, bytes);
    FlowEvent event;
    event.kind = FlowEventKind::message;
    event.message = *block;
    events_.push_back(event);
    return Drop::none;
  }
  void end(Instant now, Reason why) noexcept {
    if (state_ >= FlowState::lingering) return;
    if (state_ != FlowState::syn_received) {
      FlowEvent event;
      event.reason = why;
      events_.push_back(event);
    }
    state_ = FlowState::lingering;
    deadline_ = never;
    linger_ = now + 1ms;
  }

  FlowIdentity who_;
  const FlowOptions* options_;
  Memory* memory_;
  FlowState state_;
  Instant deadline_;
  Instant next_syn_;
  Instant linger_ = never;
  bool reply_syn_ack_ = false;
  std::uint32_t wants_memory_ = 0;
  std::uint32_t sent_ = 0;
  std::deque<MessageBlock> queue_;
  std::deque<FlowEvent> events_;
};

struct ToyPolicy : DefaultPolicy {
  template <class Memory>
  using FlowType = ToyFlow<Memory>;
};

struct Seen {
  FlowEventKind kind;
  AppCookie cookie;
  FlowKey key;
  Reason reason;
  std::string text;
};

/// Remembers every event; several applications, each with its own memory.
class Side {
 public:
  using Memory = HeapMemory;

  explicit Side(std::uint32_t apps = 1, std::uint64_t receive_bytes = 4 << 20) {
    for (std::uint32_t i = 0; i < apps; ++i)
      memories_.push_back(std::make_unique<HeapMemory>(HeapMemory::Options{
          .send_bytes = 4 << 20, .receive_bytes = receive_bytes, .message_bytes_max = 64 << 10}));
    room_.assign(apps, 1'000'000);
  }

  template <class EngineT>
  std::uint32_t pull(EngineT&, Instant) noexcept {
    return 0;
  }
  std::optional<AppCookie> accept(std::uint32_t app, FlowKey key, const Endpoint&,
                                  const Endpoint&) noexcept {
    if (refuse_accepts) return std::nullopt;
    return AppCookie{app, 1000 + key.value % 1000};
  }
  bool room(std::uint32_t app) noexcept { return room_[app] > 0; }
  void deliver(AppCookie cookie, FlowKey key, const FlowEvent& event) noexcept {
    --room_[cookie.app];
    Seen seen{event.kind, cookie, key, event.reason, {}};
    if (event.kind == FlowEventKind::message) {
      seen.text.assign(reinterpret_cast<const char*>(event.message.data), event.message.length);
      memory(cookie.app).release(event.message);
    }
    events.push_back(seen);
  }
  Memory& memory(std::uint32_t app) noexcept { return *memories_[app]; }
  void publish(Instant) noexcept {}

  void set_room(std::uint32_t app, int events_left) { room_[app] = events_left; }
  MessageBlock message(std::uint32_t app, const std::string& text) {
    auto block = memory(app).allocate_send(static_cast<std::uint32_t>(text.size()));
    std::memcpy(block.value().data, text.data(), text.size());
    return *block;
  }
  std::vector<Seen> take(FlowEventKind kind) {
    std::vector<Seen> out;
    for (auto& seen : events)
      if (seen.kind == kind) out.push_back(seen);
    std::erase_if(events, [&](const Seen& seen) { return seen.kind == kind; });
    return out;
  }

  std::vector<Seen> events;
  bool refuse_accepts = false;

 private:
  std::vector<std::unique_ptr<HeapMemory>> memories_;
  std::vector<int> room_;
};

template <class Policy>
struct Host {
  using EngineT = Engine<SimNic, Side, Policy>;

  static EngineOptions options_of(std::uint8_t number, EngineOptions options) {
    InterfaceOptions at;
    at.mac = MacAddress{{2, 0, 0, 0, 0, number}};
    at.addresses = {{IpAddress::v4(10, 0, 0, number), 24}};
    at.announce = false;
    options.interface = InterfacePlan::make(at).value();
    options.seed += number;
    options.flows_max = std::min(options.flows_max, 32U);  // the audits visit every slot
    options.flow.incarnation = number;
    return options;
  }

  Host(SimNetwork& network, std::uint8_t number, EngineOptions options = {},
       std::uint64_t receive_bytes = 4 << 20)
      : port(network, {.mac = MacAddress{{2, 0, 0, 0, 0, number}}}),
        nic(port.nic()),
        side(options.apps_max, receive_bytes),
        engine(nic, side, options_of(number, options), network.now()),
        address(IpAddress::v4(10, 0, 0, number)) {}

  SimPort port;
  SimNic nic;
  Side side;
  EngineT engine;
  IpAddress address;
};

template <class Policy>
struct World {
  explicit World(EngineOptions options = {}, std::uint64_t receive_bytes = 4 << 20)
      : World(options, options, receive_bytes) {}
  World(const EngineOptions& of_a, const EngineOptions& of_b, std::uint64_t receive_bytes = 4 << 20)
      : a(network, 1, of_a, receive_bytes), b(network, 2, of_b, receive_bytes) {}

  void run(Duration how_long, Duration step = 1us) {
    const Instant end = now + how_long;
    while (now < end) {
      now += step;
      (void)a.engine.turn([this] { return now; });
      (void)b.engine.turn([this] { return now; });
      check();
    }
  }
  void check() {
    for (auto* host : {&a, &b})
      if (const char* why = host->engine.broken_invariant()) throw std::runtime_error(why);
  }
  /// A flow of `a`'s application to port 7000 of `b`, connected.
  FlowKey connect(AppCookie cookie = {}) {
    const auto key = a.engine.connect(now, cookie, {b.address, 7000}, never);
    run(500us);
    return key.value();
  }

  SimNetwork network{1};
  Instant now{};
  Host<Policy> a, b;
};

inline ToyFlow<HeapMemory>& flow_of(Host<ToyPolicy>& host, FlowKey key) {
  ToyFlow<HeapMemory>* found = nullptr;
  host.engine.for_each_flow([&](FlowKey at, AppCookie, const ToyFlow<HeapMemory>& flow) {
    if (at == key) found = const_cast<ToyFlow<HeapMemory>*>(&flow);
  });
  return found != nullptr ? *found : throw std::runtime_error("no such flow");
}

}  // namespace toy
