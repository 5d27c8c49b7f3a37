// L4: the placement in which the stack runs in a sidecar on the same machine.
#pragma once
#include <algorithm>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include <tl/expected.hpp>

#include <proa/base/clock.hpp>
#include <proa/ipc/channel_client.hpp>
#include <proa/ipc/control_client.hpp>
#include <proa/stack/give_way.hpp>
#include <proa/stack/option_text.hpp>
#include <proa/stack/placement.hpp>

namespace proa {

/// As text, keys with their defaults:
///
///   socket=/run/proad/proad.sock   the sidecar's control socket
///   name=                      how the operator sees this application; up to 32 bytes
///   interface=                 an interface of the sidecar: its name, or an address that it owns
///   or
///                              has a route to; the first one with room
///   send_memory=0              shared memory for messages being sent; 0: as the sidecar likes
///   receive_memory=0           the same for messages received
///   flows=0                    most flows this application opens, and most it accepts; 0: as above
///   timeout=5s                 how long attach and listen wait for the sidecar's answer
///   spin=20us                  how long wait() polls before it sleeps
struct SidecarOptions {
  AttachOptions attach;
  Duration spin = std::chrono::microseconds{20};  // a sleeper costs the sidecar 7 to 10 us to wake

  /// An error is one sentence that names the line, the key and what was expected.
  [[nodiscard]] static tl::expected<SidecarOptions, std::string> parse(std::string_view text) {
    const auto pairs = parse_option_pairs(text);
    if (!pairs) return tl::unexpected{pairs.error()};
    SidecarOptions options;
    for (const OptionPair& pair : *pairs) {
      const std::string expected = options.set(pair.key, pair.value);
      if (expected.empty()) continue;
      return tl::unexpected{"line " + std::to_string(pair.line) + ": " + std::string{pair.key} +
                            "=" + std::string{pair.value} + ": " + expected};
    }
    return options;
  }

  /// Empty, or what was expected instead.
  [[nodiscard]] std::string set(std::string_view key, std::string_view value) {
    if (key == "socket") return set_text(value, 107, attach.path);
    if (key == "name") return set_text(value, 32, attach.name);
    if (key == "interface") return set_text(value, 64, attach.interface);
    if (key == "send_memory") return set_bytes(value, attach.send_bytes);
    if (key == "receive_memory") return set_bytes(value, attach.receive_bytes);
    if (key == "flows") return set_flows(value);
    if (key == "timeout") return set_duration(value, attach.timeout);
    if (key == "spin") return set_duration(value, spin);
    return "unknown key; expected one of socket, name, interface, send_memory, receive_memory, "
           "flows, "
           "timeout, spin";
  }

 private:
  static std::string set_text(std::string_view value, std::size_t bytes_max, std::string& out) {
    if (value.size() > bytes_max) return "expected at most " + std::to_string(bytes_max) + " bytes";
    out = value;
    return {};
  }
  static std::string set_bytes(std::string_view value, std::uint64_t& out) {
    const auto bytes = parse_bytes(value);
    if (!bytes || *bytes > detail::arena_bytes_max)
      return "expected up to 64GiB, with or without KiB, MiB, GiB";
    out = *bytes;
    return {};
  }
  std::string set_flows(std::string_view value) {
    const auto count = parse_count(value);
    if (!count || *count > channel_flows_max)
      return "expected a number from 0 to " + std::to_string(channel_flows_max);
    attach.flows_max = static_cast<std::uint32_t>(*count);
    return {};
  }
  static std::string set_duration(std::string_view value, Duration& out) {
    const auto duration = parse_duration(value);
    if (!duration) return "expected a time with unit (ns, us, ms, s, min), as in 5s";
    out = *duration;
    return {};
  }
};

/// Models Placement: a channel to one engine of the sidecar. When the sidecar exits, every flow
/// ends with `stack_closed`; what messages and buffers are held stays valid.
class Sidecar {
 public:
  using Options = SidecarOptions;
  using Memory = ClientMemory;

  /// The sidecar's view, but for the last three.
  struct FlowInfo {
    Endpoint local, peer;
    Duration smoothed_rtt{}, minimum_rtt{}, rtt_variation{};
    std::uint32_t window_bytes = 0;
    std::uint32_t in_flight_bytes = 0;
    std::uint32_t credit_left_bytes = 0;  // what the peer still allows us
    std::uint32_t queued_messages = 0;    // not yet acknowledged
    std::uint64_t queued_bytes = 0;
    std::uint64_t packets_sent = 0, packets_received = 0, packets_lost = 0;
    std::uint64_t messages_sent = 0;      // handed in by the application
    std::uint64_t messages_received = 0;  // handed to the application
    bool closing = false;                 // close or reset was called
  };
  struct Counters {
    std::uint64_t events = 0;  // read from the channel
    std::uint64_t turns = 0;   // looks that found nothing
    std::uint64_t sleeps = 0;
    std::uint32_t flows = 0;  // open now
  };

  [[nodiscard]] static tl::expected<std::unique_ptr<Sidecar>, std::string> open(
      const Options& options) {
    auto attached = ControlClient::attach(options.attach);
    if (!attached) return tl::unexpected{std::move(attached).error()};
    try {
      return std::unique_ptr<Sidecar>{new Sidecar(std::move(*attached), options)};
    } catch (const std::bad_alloc&) {
      return tl::unexpected{std::string{"not enough memory for the channel; lower flows"}};
    }
  }
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;
  ~Sidecar() { client_.flush(); }

  [[nodiscard]] Instant now() noexcept { return clock_(); }
  [[nodiscard]] LeaseHome<Memory>& home() noexcept { return *home_; }

  /// These two wait for the sidecar's answer, at most for Options::attach.timeout.
  [[nodiscard]] Expected<void> listen(std::uint16_t port, bool shared) noexcept {
    return control_.listen(port, timeout_, shared);
  }
  [[nodiscard]] Expected<void> unlisten(std::uint16_t port) noexcept {
    return control_.unlisten(port, timeout_);
  }
  [[nodiscard]] Expected<FlowHandle> connect(const Endpoint& peer, Instant deadline) noexcept {
    const auto flow = client_.connect(peer, deadline);
    if (!flow) return failed(flow.error());
    return FlowHandle{flow->value};
  }
  [[nodiscard]] Expected<MessageBlock> allocate(std::uint32_t length) noexcept {
    ClientMemory& memory = home_->memory();
    if (length > memory.geometry().message_bytes_max) return failed(Reason::message_too_large);
    const auto block = memory.allocate_send(length);
    if (!block) return failed(Reason::out_of_memory);
    return *block;
  }
  [[nodiscard]] Reason send(FlowHandle flow, const MessageBlock& block, bool notify,
                            MessageNumber& number) noexcept {
    return taken(client_.send_block({flow.value}, block, notify), number);
  }
  [[nodiscard]] Reason send_copy(FlowHandle flow, std::span<const std::byte> bytes, bool notify,
                                 MessageNumber& number) noexcept {
    return taken(client_.send({flow.value}, bytes, notify), number);
  }
  [[nodiscard]] Expected<void> close(FlowHandle flow, Instant deadline) noexcept {
    return client_.close({flow.value}, deadline);
  }
  [[nodiscard]] Expected<void> reset(FlowHandle flow) noexcept {
    return client_.reset({flow.value});
  }

  [[nodiscard]] bool take_event(PlacementEvent& event) noexcept {
    if (armed_) [[unlikely]]
      disarm();
    ChannelEvent from;
    if (!client_.poll(from)) return false;
    static_assert(
        static_cast<int>(EventKind::closed) == static_cast<int>(ChannelEventKind::closed) &&
        static_cast<int>(EventKind::message) == static_cast<int>(ChannelEventKind::message));
    event.kind = static_cast<EventKind>(from.kind);
    event.reason = from.reason;
    event.flow = {from.flow.value};
    event.number = from.number;
    event.message = from.message;
    if (from.kind == ChannelEventKind::accepted) {
      event.local = from.local;
      event.peer = from.peer;
    }
    ++counters_.events;
    idle_turns_ = 0;
    return true;
  }
  void turn() noexcept {
    if (armed_) [[unlikely]]
      disarm();
    home_->collect();
    client_.flush();
    ++counters_.turns;
    // The first idle turn never yields: a sleep may follow, which gives way better.
    if (idle_turns_ != 0) give_way_.idle(looked_at_, idle_since_);
    if (idle_turns_++ % turns_per_look == 0) look();
  }
  void flush() noexcept { client_.flush(); }
  void sleep(Instant until) noexcept {
    const Instant now = clock_();
    if (now - idle_since_ < spin_ && !give_way_.oversubscribed()) return;
    ++counters_.sleeps;
    client_.wait(until - now);
    idle_turns_ = 0;
  }
  [[nodiscard]] bool arm() noexcept {
    armed_ = client_.arm();
    return armed_;
  }
  [[nodiscard]] int native_handle() const noexcept { return client_.descriptor(); }
  [[nodiscard]] std::uint32_t closing_flows() noexcept { return client_.closing_flows(); }

  /// Waits for the sidecar's answer: microseconds, or until a sleeping engine has woken.
  [[nodiscard]] Expected<FlowInfo> flow_info(FlowHandle handle) noexcept {
    const auto details = client_.query({handle.value}, timeout_);
    if (!details) return failed(details.error());
    FlowInfo info;
    info.local = details->local.endpoint();
    info.peer = details->peer.endpoint();
    info.smoothed_rtt = Duration{details->smoothed_rtt_ns};
    info.minimum_rtt = Duration{details->minimum_rtt_ns};
    info.rtt_variation = Duration{details->rtt_variation_ns};
    info.window_bytes = details->window_bytes;
    info.in_flight_bytes = details->in_flight_bytes;
    info.credit_left_bytes = details->credit_left_bytes;
    info.queued_messages = details->queued_messages;
    info.queued_bytes = details->queued_bytes;
    info.packets_sent = details->packets_sent;
    info.packets_received = details->packets_received;
    info.packets_lost = details->packets_lost;
    if (const ClientFlow* flow = client_.find({handle.value})) {
      info.messages_sent = flow->submitted;
      info.messages_received = flow->received;
      info.closing = flow->closing;
    }
    return info;
  }
  [[nodiscard]] Counters counters() noexcept {
    counters_.flows = client_.open_flows();
    return counters_;
  }

 private:
  static constexpr std::uint32_t turns_per_look = 256;

  static Reason taken(const Expected<MessageNumber>& done, MessageNumber& number) noexcept {
    if (!done) return done.error();
    number = *done;
    return Reason::none;
  }

  struct DropLocal {
    void operator()(LeaseHome<Memory>* home) const noexcept { home->drop_local(); }
  };

  Sidecar(ControlClient::Attached attached, const Options& options)
      : home_(new LeaseHome<Memory>(attached.channel.geometry, std::move(attached.channel.send),
                                    std::move(attached.channel.receive))),
        control_(std::move(attached.control)),
        client_(home_->memory(), std::move(attached.channel.bell)),
        timeout_(options.attach.timeout),
        spin_(options.spin) {
    static_assert(Placement<Sidecar>);
  }
  /// At the first look that finds nothing, and now and then: what costs more than a look.
  void look() noexcept {
    looked_at_ = clock_();
    if (idle_turns_ == 1)
      idle_since_ = looked_at_;
    else
      client_.check();
  }
  void disarm() noexcept {
    armed_ = false;
    client_.disarm();
  }

  std::unique_ptr<LeaseHome<Memory>, DropLocal> home_;  // goes last
  ControlClient control_;
  ChannelClient client_;
  CycleClock clock_;
  GiveWay give_way_;
  Counters counters_;
  std::uint32_t idle_turns_ = 0;
  Instant idle_since_{};
  Instant looked_at_{};
  Duration timeout_;
  Duration spin_;
  bool armed_ = false;
};

}  // namespace proa
