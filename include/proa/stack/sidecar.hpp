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
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/clock.hpp>
#include <proa/stack/give_way.hpp>
#include <proa/stack/option_text.hpp>
#include <proa/stack/placement.hpp>
#include <proa/stack/sidecar_channels.hpp>

namespace proa {

/// As text, keys with their defaults:
///
///   socket=/run/proad/proad.sock   the sidecar's control socket
///   name=                      how the operator sees this application; up to 32 bytes
///   interface=                 a single interface of the sidecar: its name, or an address that it
///                              owns or has a route to; empty: all of them, at most 8
///   send_memory=0              shared memory for messages being sent, per interface; 0: as the
///                              sidecar likes
///   receive_memory=0           the same for messages received
///   flows=0                    most flows this application opens, and most it accepts, per
///                              interface; 0: as above
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

/// Models Placement: channels to the sidecar, one to an engine of each interface. When one of them
/// is lost, its flows end with `stack_closed`, when the sidecar exits, all; what messages and
/// buffers are held stays valid.
class Sidecar {
 public:
  using Options = SidecarOptions;
  using Memory = ChannelMemories;

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
    std::uint64_t events = 0;  // read from the channels
    std::uint64_t turns = 0;   // looks that found nothing
    std::uint64_t sleeps = 0;
    std::uint32_t flows = 0;  // open now
  };

  [[nodiscard]] static tl::expected<std::unique_ptr<Sidecar>, std::string> open(
      const Options& options) {
    try {
      auto attached = SidecarChannels::attach(options.attach);
      if (!attached) return tl::unexpected{std::move(attached).error()};
      std::unique_ptr<Sidecar> made{new Sidecar(std::move(*attached), options)};
      if (made->channels_.complete()) return made;
      return tl::unexpected{std::string{"no file descriptors left; raise the limit (ulimit -n)"}};
    } catch (const std::bad_alloc&) {
      return tl::unexpected{std::string{"not enough memory for the channel; lower flows"}};
    }
  }
  Sidecar(const Sidecar&) = delete;
  Sidecar& operator=(const Sidecar&) = delete;
  ~Sidecar() { channels_.flush(); }

  [[nodiscard]] Instant now() noexcept { return clock_(); }
  [[nodiscard]] LeaseHome<Memory>& home() noexcept { return channels_.home(); }

  /// These two wait for the sidecar's answers, at most for Options::attach.timeout per interface.
  [[nodiscard]] Expected<void> listen(const Listen& to) noexcept {
    return channels_.listen(to, timeout_);
  }
  [[nodiscard]] Expected<void> unlisten(const Listen& to) noexcept {
    return channels_.unlisten(to, timeout_);
  }
  [[nodiscard]] Expected<FlowHandle> connect(const Endpoint& peer, Instant deadline) noexcept {
    return channels_.connect(peer, deadline);
  }
  [[nodiscard]] Expected<MessageBlock> allocate(std::uint32_t length, FlowHandle flow) noexcept {
    return channels_.allocate(length, flow);
  }
  [[nodiscard]] Reason send(FlowHandle flow, const MessageBlock& block, bool notify,
                            MessageNumber& number) noexcept {
    const auto to = channels_.named(flow);
    if (ClientMemory::channel_of(block) == to.channel) [[likely]]
      return taken(to.client.send_block(to.flow, block, notify), number);
    const Reason why = send_copy(flow, {block.data, block.length}, notify, number);
    if (why == Reason::none) home().memory().release(block);  // another interface's memory
    return why;
  }
  [[nodiscard]] Reason send_copy(FlowHandle flow, std::span<const std::byte> bytes, bool notify,
                                 MessageNumber& number) noexcept {
    if (SidecarChannels::is_first(flow)) [[likely]]
      return taken(channels_.first().send({flow.value}, bytes, notify), number);
    return send_copy_further(flow, bytes, notify, number);
  }
  [[nodiscard]] Expected<void> close(FlowHandle flow, Instant deadline) noexcept {
    const auto of = channels_.named(flow);
    return of.client.close(of.flow, deadline);
  }
  [[nodiscard]] Expected<void> reset(FlowHandle flow) noexcept {
    const auto of = channels_.named(flow);
    return of.client.reset(of.flow);
  }

  [[nodiscard]] bool take_event(PlacementEvent& event) noexcept {
    if (armed_) [[unlikely]]
      disarm();
    ChannelEvent from;
    std::uint32_t channel = 0;
    if (!channels_.poll(from, channel)) return false;
    static_assert(
        static_cast<int>(EventKind::closed) == static_cast<int>(ChannelEventKind::closed) &&
        static_cast<int>(EventKind::message) == static_cast<int>(ChannelEventKind::message));
    event.kind = static_cast<EventKind>(from.kind);
    event.reason = from.reason;
    event.flow = SidecarChannels::handle(channel, from.flow);
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
    home().collect();
    channels_.flush();
    ++counters_.turns;
    // The first idle turn never yields: a sleep may follow, which gives way better.
    if (idle_turns_ != 0) give_way_.idle(looked_at_, idle_since_);
    if (idle_turns_++ % turns_per_look == 0) look();
  }
  void flush() noexcept { channels_.flush(); }
  void sleep(Instant until) noexcept {
    const Instant now = clock_();
    if (now - idle_since_ < spin_ && !give_way_.oversubscribed()) return;
    ++counters_.sleeps;
    channels_.wait(until - now);
    idle_turns_ = 0;
  }
  [[nodiscard]] bool arm() noexcept {
    armed_ = channels_.arm();
    return armed_;
  }
  [[nodiscard]] int native_handle() const noexcept { return channels_.descriptor(); }
  [[nodiscard]] std::uint32_t closing_flows() noexcept { return channels_.closing_flows(); }

  /// Waits for the sidecar's answer: microseconds, or until a sleeping engine has woken.
  [[nodiscard]] Expected<FlowInfo> flow_info(FlowHandle handle) noexcept {
    const auto of = channels_.named(handle);
    const auto details = of.client.query(of.flow, timeout_);
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
    if (const ClientFlow* flow = of.client.find(of.flow)) {
      info.messages_sent = flow->submitted;
      info.messages_received = flow->received;
      info.closing = flow->closing;
    }
    return info;
  }
  [[nodiscard]] Counters counters() noexcept {
    counters_.flows = channels_.open_flows();
    return counters_;
  }
  [[nodiscard]] std::vector<InterfaceInfo> interfaces() const { return channels_.interfaces(); }

 private:
  static constexpr std::uint32_t turns_per_look = 256;

  static Reason taken(const Expected<MessageNumber>& done, MessageNumber& number) noexcept {
    if (!done) return done.error();
    number = *done;
    return Reason::none;
  }

  /// Apart, so that the way of a single channel is inlined as a whole.
  [[gnu::noinline]] Reason send_copy_further(FlowHandle flow, std::span<const std::byte> bytes,
                                             bool notify, MessageNumber& number) noexcept {
    const auto to = channels_.named(flow);
    return taken(to.client.send(to.flow, bytes, notify), number);
  }

  Sidecar(SidecarChannels::Answer attached, const Options& options)
      : channels_(std::move(attached)), timeout_(options.attach.timeout), spin_(options.spin) {
    static_assert(Placement<Sidecar>);
  }
  /// At the first look that finds nothing, and now and then: what costs more than a look.
  void look() noexcept {
    looked_at_ = clock_();
    if (idle_turns_ == 1)
      idle_since_ = looked_at_;
    else
      channels_.check();
  }
  void disarm() noexcept {
    armed_ = false;
    channels_.disarm();
  }

  SidecarChannels channels_;
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
