// L2: one flow, sans-I/O: datagrams, time and submissions in; packets, deadlines and events out.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>

#include <proa/transport/handshake.hpp>
#include <proa/transport/identity.hpp>
#include <proa/transport/path_mtu.hpp>
#include <proa/transport/path_sizes.hpp>
#include <proa/transport/policy.hpp>
#include <proa/transport/receiver.hpp>
#include <proa/transport/sender.hpp>
#include <proa/transport/state.hpp>
#include <proa/transport/timers.hpp>

namespace proa {

/// The whole transport of one flow. It reads no clock, takes no lock and allocates only from the
/// memory and pool it is given, which must outlive it.
/// Threading: one thread. After any call, ask wants_transmit(), next_timeout() and has_event().
/// Re-entrancy: none of its calls calls back.
template <MessageMemory Memory, TransportPolicy Policy = DefaultTransportPolicy>
class Flow {
 public:
  using Congestion = typename Policy::Congestion;
  using Integrity = typename Policy::Integrity;

  /// A client flow sends SYN at the first poll_transmit. A server flow is made from a verified SYN
  /// (its peer_id and peer_incarnation are set): call accept_syn() once with that SYN.
  /// `seed` chooses the first packet number. `deadline`: a client gives up then; never is allowed.
  Flow(Role role, const FlowIdentity& identity, const FlowOptions& options, Memory& memory,
       ScratchPool& pool, std::uint64_t seed, Instant now, Instant deadline) noexcept
      : identity_(identity),
        options_(&options),
        memory_(&memory),
        state_(role == Role::client ? FlowState::syn_sent : FlowState::syn_received),
        as_client_(role == Role::client),
        message_bytes_max_(options.message_bytes_max),
        idle_limit_(options.idle_limit),
        mtu_(remembered_bytes(identity, options, now), options.packet_bytes_max),
        sender_(pool, options, PacketNumber{static_cast<std::uint32_t>(seed)}, mtu_.packet_bytes(),
                Policy::stream_start()),
        receiver_(pool, options, Policy::stream_start()) {
    timers_.arm(FlowTimer::handshake, now);
    cookie_for_ = sender_.packets().next();
    timers_.arm(FlowTimer::deadline,
                role == Role::client ? deadline : later(now, options.accept_limit));
  }
  Flow(const Flow&) = delete;
  Flow& operator=(const Flow&) = delete;
  ~Flow() {
    sender_.clear(*memory_);
    receiver_.clear(*memory_);
  }

  // ---- the application's side

  /// Queues a message. On success the flow owns the block until the memory's release(); on error
  /// it stays the caller's. would_block: one `writable` event follows when that size fits.
  /// `notify`: a `sent` event tells when the peer's transport has the message.
  [[nodiscard]] Expected<MessageNumber> submit(Instant now, const MessageBlock& block,
                                               bool notify) noexcept {
    MessageNumber number;
    const Reason why = submit(now, block, notify, number);
    if (why != Reason::none) return failed(why);
    return number;
  }
  /// The same; Reason::none: `number` is set.
  [[nodiscard]] Reason submit(Instant now, const MessageBlock& block, bool notify,
                              MessageNumber& number) noexcept;
  /// Sends what is queued, then FIN; what is not acknowledged by `deadline` is given up.
  Expected<void> close(Instant now, Instant deadline) noexcept;
  /// Ends the flow now; the peer is told with a RESET carrying `reason`.
  void reset(Instant now, Reason reason) noexcept { end(now, FlowInput::reset, reason, reason); }

  [[nodiscard]] bool has_event() const noexcept {
    return established_pending_ || receiver_.reassembly().deliverable() ||
           sender_.queue().has_sent() || writable_now() || closed_pending_;
  }
  /// The next event; the block of a message is the caller's.
  [[nodiscard]] std::optional<FlowEvent> poll_event() noexcept {
    FlowEvent event;
    return poll_event(event) ? std::optional{event} : std::nullopt;
  }
  /// The same; false: there is none, `event` is undefined.
  [[nodiscard]] bool poll_event(FlowEvent& event) noexcept;

  /// Large messages wait for memory in turn: the engine calls take_memory() for the flows that
  /// want it, first come first served; `last` allows the block kept back. True: served.
  [[nodiscard]] bool wants_memory() const noexcept {
    return is_established(state_) && receiver_.wants_memory();
  }
  [[nodiscard]] bool take_memory(Instant now, bool last) noexcept;

  // ---- the network's side

  /// The SYN a server flow was made from, or a repetition of it.
  void accept_syn(const PacketHeader& header, const SynBody& syn, const Arrival& arrival) noexcept;
  /// A whole Proa packet addressed to this flow's id. Verifies integrity before anything else.
  [[nodiscard]] Drop handle_datagram(const Arrival& arrival, ByteView datagram) noexcept;
  /// Writes one whole packet of at most out.size() bytes; 0: nothing to send now.
  [[nodiscard]] std::size_t poll_transmit(Instant now, MutableBytes out) noexcept;
  /// Cheap: whether poll_transmit would write something.
  [[nodiscard]] bool wants_transmit(Instant now) const noexcept;
  /// The network says that our packets are too big. Never believed (anybody can send that): a small
  /// packet follows, and if it arrives where larger ones did not, those are smaller from then on.
  void on_packet_too_big() noexcept {
    if (is_established(state_) && mtu_.packet_bytes() > mtu_.base())
      want_control(PacketContent::ping);
  }
  /// `next_hop_silent`: it may not send because its next hop does not answer.
  void handle_timeout(Instant now, bool next_hop_silent = false) noexcept;
  [[nodiscard]] Instant next_timeout() const noexcept { return timers_.next(); }

  // ---- its paths, which are the engine's: here only what they mean for the flow

  /// Whether what it sends asks the peer to find another path (HeaderFlag::misrouted).
  void say_misrouted(bool on) noexcept { misrouted_ = on; }
  /// Its packets take another path from now on.
  void on_path_change(Instant now) noexcept { sender_.on_path_change(now); }
  /// Handshake packets or probes repeated since the peer was last heard.
  [[nodiscard]] std::uint32_t unanswered() const noexcept {
    if (is_established(state_)) return sender_.probes_in_a_row();
    return handshakes_sent_ == 0 ? 0U : handshakes_sent_ - 1U;
  }
  /// When the oldest was sent of what the answer of now is about.
  [[nodiscard]] Instant answered_sent_at(Instant now) const noexcept {
    return sender_.answered_sent_at(now);
  }
  /// How long an answer takes at most, mostly: srtt + 4 rttvar.
  [[nodiscard]] Duration answer_time() const noexcept {
    const RttEstimator& rtt = sender_.rtt();
    return rtt.has_sample() ? rtt.smoothed() + 4 * rtt.variation() : options_->probe_before_sample;
  }

  // ---- what it is

  /// Over, everything told and answered: it may be destroyed.
  [[nodiscard]] bool finished() const noexcept {
    return state_ == FlowState::finished && !has_event();
  }
  [[nodiscard]] FlowState state() const noexcept { return state_; }
  [[nodiscard]] const FlowIdentity& identity() const noexcept { return identity_; }
  [[nodiscard]] FlowInfo info() const noexcept;
  [[nodiscard]] const char* broken_invariant() const noexcept;

 private:
  // flow_receive.hpp
  [[nodiscard]] Drop handle_syn_ack(const Arrival&, const PacketHeader&, ByteView body) noexcept;
  [[nodiscard]] Drop handle_retry(const Arrival&, const PacketHeader&, ByteView body) noexcept;
  [[nodiscard]] Drop handle_refuse(const Arrival&, const PacketHeader&, ByteView body) noexcept;
  [[nodiscard]] Drop handle_unknown_flow(const Arrival&, const PacketHeader&) noexcept;
  [[nodiscard]] Drop handle_data(const Arrival&, const PacketHeader&, ByteView frames) noexcept;
  [[nodiscard]] Drop handle_early_reset(const Arrival&, const PacketHeader&,
                                        ByteView frames) noexcept;
  [[nodiscard]] bool answers_handshake(const PacketHeader&) noexcept;
  [[nodiscard]] Drop judge_number(const PacketHeader&) noexcept;
  [[nodiscard]] Drop process_ack(const Arrival&, const PacketHeader&, const AckBits&,
                                 std::uint32_t marked) noexcept;
  [[nodiscard]] Drop process_frames(const Arrival&, FrameReader&, bool& eliciting) noexcept;
  [[nodiscard]] Drop process_frame(const Arrival&, const Frame&) noexcept;
  [[nodiscard]] Drop process_want(const Frame&) noexcept;
  [[nodiscard]] std::uint32_t newly_marked(std::uint32_t marked) const noexcept;
  void check_peer_fin(Instant now) noexcept;
  void establish(Instant now, bool as_client) noexcept;
  void on_resolved(Instant now, const Resolved&) noexcept;
  void on_path_resolved(Instant now, const Resolved&) noexcept;
  void heard_from_peer(Instant now) noexcept;

  // flow_transmit.hpp
  [[nodiscard]] std::size_t transmit_handshake(Instant now, MutableBytes out) noexcept;
  [[nodiscard]] std::size_t transmit_data(Instant now, MutableBytes out) noexcept;
  [[nodiscard]] std::size_t transmit_size_probe(Instant now, MutableBytes out) noexcept;
  std::size_t finish_packet(Instant now, MutableBytes out, const FrameWriter&,
                            SentPacket&) noexcept;
  void compose(Instant now, FrameWriter&, SentPacket&) noexcept;
  [[nodiscard]] bool has_more_than_ack(Instant now) const noexcept;
  [[nodiscard]] bool has_ack(Instant now) const noexcept;
  [[nodiscard]] bool make_way_for_control(Instant now) noexcept;
  void wait_for_room(Instant now) noexcept;
  [[nodiscard]] std::size_t transmit_ack(Instant now, MutableBytes out) noexcept;
  static MutableBytes packet_body(MutableBytes packet) noexcept;
  void write_control(FrameWriter&, SentPacket&) noexcept;
  [[nodiscard]] PacketHeader make_header(Instant now) const noexcept;
  void request_credit() noexcept;
  void want_control(PacketContent what) noexcept { control_ = with(control_, what); }

  // flow_end.hpp
  void end(Instant now, FlowInput input, Reason told_here, Reason told_peer) noexcept;
  void enter(FlowState to) noexcept { state_ = to; }
  void start_lingering(Instant now) noexcept;
  void maybe_fin() noexcept;
  void check_flushed(Instant now) noexcept;
  static constexpr int resets_wait = 1 << 10;  // probe timeouts: ten doublings

  // flow.hpp
  void arm_timers(Instant now) noexcept;
  /// Who waits for memory is woken by this timer: it stays.
  void arm_pace(Instant now) noexcept {
    if (!starved_) timers_.arm(FlowTimer::pace, sender_.paced_until(now));
  }
  /// Nothing has happened for long: an idle flow keeps nothing in the pool, nor promised memory.
  void trim() noexcept {
    sender_.trim();
    receiver_.rest(*memory_);
  }
  [[nodiscard]] static std::uint32_t remembered_bytes(const FlowIdentity& identity,
                                                      const FlowOptions& options,
                                                      Instant now) noexcept {
    return options.path_sizes ? options.path_sizes->find(identity.peer.address, now) : 0;
  }
  [[nodiscard]] bool writable_now() const noexcept {
    return refused_ && is_alive(state_) && sender_.queue().fits(refused_bytes_, *options_);
  }

  FlowIdentity identity_;
  const FlowOptions* options_;
  Memory* memory_;
  FlowState state_;
  Reason reason_ = Reason::none;        // told to this application
  Reason reset_reason_ = Reason::none;  // told to the peer
  std::uint8_t control_ = 0;            // PacketContent bits waiting to be sent
  std::uint8_t handshakes_sent_ = 0;
  std::uint8_t cookie_length_ = 0;
  std::array<std::byte, cookie_bytes_max> cookie_{};  // from a RETRY, for the next SYN
  PacketNumber cookie_for_;                           // the first SYN that carries it
  bool as_client_ = false;
  bool established_pending_ = false;
  bool closed_pending_ = false;
  bool told_established_ = false;
  bool refused_ = false;
  bool fin_sent_ = false;
  bool fin_acked_ = false;
  bool peer_fin_known_ = false;
  bool want_outstanding_ = false;
  bool starved_ = false;  // no memory to remember one more packet: until the pace timer
  bool misrouted_ = false;
  MessageNumber peer_fin_;  // number after the peer's last message
  MessageNumber wanted_;    // memory was asked for this message last
  std::uint32_t want_bytes_ = 0;
  std::uint32_t refused_bytes_ = 0;
  std::uint32_t peer_ce_marked_ = 0;
  std::uint32_t message_bytes_max_;  // the smaller of both ends' limits
  Duration idle_limit_;              // the smaller of both ends' limits
  FlowTimers timers_;
  PathMtu mtu_;
  Sender<Memory, Congestion> sender_;
  Receiver<Memory> receiver_;
  Instant repeated_at_ = never;  // lingering: when the peer was heard last
  std::uint64_t packets_received_ = 0;
};

template <MessageMemory Memory, TransportPolicy Policy>
Reason Flow<Memory, Policy>::submit(Instant now, const MessageBlock& block, bool notify,
                                    MessageNumber& number) noexcept {
  if (state_ == FlowState::closing) return Reason::flow_closing;
  if (!is_alive(state_)) return Reason::no_such_flow;
  if (block.length > message_bytes_max_) return Reason::message_too_large;
  if (!sender_.queue().fits(block.length, *options_)) {
    refused_ = true;
    refused_bytes_ = block.length;
    return Reason::would_block;
  }
  if (!sender_.queue().push(block, notify)) return Reason::out_of_memory;
  number = sender_.queue().next_number().minus(1);
  request_credit();
  // Only pacing may hold it back now: then nothing but this timer would send it.
  if (is_established(state_)) arm_pace(now);
  return Reason::none;
}

template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::poll_event(FlowEvent& event) noexcept {
  if (established_pending_) [[unlikely]] {
    established_pending_ = false;
    event.kind = as_client_ ? FlowEventKind::connected : FlowEventKind::accepted;
    return true;
  }
  if (receiver_.reassembly().take(event.number, event.message)) {
    event.kind = FlowEventKind::message;
    return true;
  }
  if (sender_.queue().take_sent(event.number)) {
    event.kind = FlowEventKind::sent;
    return true;
  }
  if (writable_now()) {
    refused_ = false;
    event.kind = FlowEventKind::writable;
    return true;
  }
  if (!closed_pending_) return false;
  closed_pending_ = false;
  receiver_.clear(*memory_);
  event.kind = FlowEventKind::closed;
  event.reason = reason_;
  return true;
}

template <MessageMemory Memory, TransportPolicy Policy>
bool Flow<Memory, Policy>::take_memory(Instant, bool last) noexcept {
  if (!is_established(state_) || !receiver_.serve_memory(*memory_, last)) return false;
  // RFC-less, ours: raising credit after exhaustion is ack-eliciting, so that our own probe
  // repairs its loss. Whom something was refused must hear that, or he takes it for lost.
  want_control(receiver_.credit().take_refusal() ? PacketContent::room : PacketContent::ping);
  return true;
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::arm_timers(Instant now) noexcept {
  starved_ = false;                    // something has happened: there may be room now
  if (state_ == FlowState::lingering)  // its acknowledgements may be repeated
    return timers_.arm(FlowTimer::ack, receiver_.ack_deadline());
  if (!is_established(state_) && state_ != FlowState::resetting) return;
  timers_.arm(FlowTimer::loss, sender_.loss_deadline());
  timers_.arm(FlowTimer::probe, sender_.probe_deadline());
  timers_.arm(FlowTimer::ack, receiver_.ack_deadline());
  timers_.arm(FlowTimer::pace, sender_.paced_until(now));
}

template <MessageMemory Memory, TransportPolicy Policy>
void Flow<Memory, Policy>::handle_timeout(Instant now, bool next_hop_silent) noexcept {
  if (timers_.take_expired(FlowTimer::deadline, now)) {
    if (!is_alive(state_)) return end(now, FlowInput::linger_over, reason_, Reason::none);
    if (state_ == FlowState::closing)
      return end(now, FlowInput::reset, Reason::close_deadline, Reason::close_deadline);
    const bool mute = state_ == FlowState::syn_sent && handshakes_sent_ == 0;
    const Reason unsent = next_hop_silent ? Reason::peer_unreachable : Reason::cannot_send;
    return end(now, FlowInput::gone_silent, mute ? unsent : Reason::handshake_timeout,
               Reason::none);
  }
  if (starved_ && timers_.take_expired(FlowTimer::pace, now)) starved_ = false;
  if (timers_.take_expired(FlowTimer::idle, now))
    return end(now, FlowInput::gone_silent, Reason::idle_timeout, Reason::none);
  if (timers_.take_expired(FlowTimer::keepalive, now)) {
    want_control(PacketContent::ping);
    sender_.on_keepalive();
    timers_.arm(FlowTimer::keepalive, later(now, options_->keepalive_within(idle_limit_)));
    trim();
  }
  if (timers_.take_expired(FlowTimer::loss, now)) on_resolved(now, sender_.on_loss_timer(now));
  if (timers_.take_expired(FlowTimer::probe, now)) sender_.on_probe_timer(now);
  if (timers_.take_expired(FlowTimer::ack, now)) receiver_.ack_at_once();
  if (!is_established(state_)) return;
  timers_.arm(FlowTimer::loss, sender_.loss_deadline());  // the next to become overdue
  // Expired or new: what a timer declared lost may have to wait for its pace.
  arm_pace(now);
}

}  // namespace proa

// The out-of-line halves; include only this header.
#include <proa/transport/flow_end.hpp>       // IWYU pragma: export
#include <proa/transport/flow_info.hpp>      // IWYU pragma: export
#include <proa/transport/flow_receive.hpp>   // IWYU pragma: export
#include <proa/transport/flow_transmit.hpp>  // IWYU pragma: export
