// L3: one thread's worth of stack: a NIC queue pair, its flows, its timers.
#pragma once
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include <proa/base/check.hpp>
#include <proa/base/prng.hpp>
#include <proa/engine/answers.hpp>
#include <proa/engine/app_side.hpp>
#include <proa/engine/counters.hpp>
#include <proa/engine/engine_group.hpp>
#include <proa/engine/flow_slot.hpp>
#include <proa/engine/flow_table.hpp>
#include <proa/engine/interface.hpp>
#include <proa/engine/lazy_array.hpp>
#include <proa/engine/options.hpp>
#include <proa/engine/paths.hpp>
#include <proa/engine/policy.hpp>
#include <proa/engine/read_progress.hpp>
#include <proa/engine/timing_wheel.hpp>
#include <proa/engine/tx_queue.hpp>
#include <proa/mem/scratch_pool.hpp>
#include <proa/nic/nic.hpp>

namespace proa {

/// The stack behind one queue pair. Belongs to one thread; nothing hot is shared with other
/// engines. It reads no clock: turn() is given one. The NIC and the application's side outlive it.
/// Construction allocates everything (std::bad_alloc); afterwards nothing allocates or throws.
template <Nic NicT, class AppSide, class Policy = DefaultPolicy>
class Engine {
 public:
  using Memory = typename AppSide::Memory;
  using FlowT = typename detail::FlowOf<Policy, Memory>::type;
  using FlowDetails = decltype(std::declval<const FlowT&>().info());

  Engine(NicT& nic, AppSide& app_side, const EngineOptions& options, Instant now);
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    give_back_loopback();
    if (interface_.announces()) group_->give_back_announcement(link_interruptions_);
  }

  // --- the turn; defined in turn.hpp ---

  /// Requests, transmit, rx bursts, timers, events. `clock()` returns the current Instant.
  template <class Clock>
  TurnReport turn(Clock&& clock) noexcept;

  /// Transmits what waits, without receiving.
  template <class Clock>
  void flush(Clock&& clock) noexcept {
    now_ = clock();
    activate_touched();
    transmit();
    settle_touched();
  }

  // --- requests of the application's side, before or during pull() ---

  /// Opens a flow; `connected` or `closed` follows. `deadline` bounds the handshake.
  [[nodiscard]] Expected<FlowKey> connect(Instant now, AppCookie cookie, const Endpoint& peer,
                                          Instant deadline) noexcept;
  /// Queues a message; on error the block stays the caller's. `notify`: a `sent` event is wanted.
  [[nodiscard]] Expected<MessageNumber> submit(Instant now, FlowKey key, const MessageBlock& block,
                                               bool notify) noexcept {
    MessageNumber number;
    const Reason why = submit(now, key, block, notify, number);
    if (why != Reason::none) return failed(why);
    return number;
  }
  /// The same; Reason::none: done, and `number` is the message's.
  [[nodiscard]] Reason submit(Instant now, FlowKey key, const MessageBlock& block, bool notify,
                              MessageNumber& number) noexcept {
    const std::uint32_t slot = open_slot(key);
    if (slot == no_slot) return Reason::no_such_flow;
    Slot& host = flows_[slot];
    if (host.send_list == detail::SendList::none) activate(slot);  // if in vain, no harm is done
    submitted_bytes_ += block.length + whole_frame_bytes;
    return host.flow.submit(now, block, notify, number);
  }
  /// Whether `length` more bytes would not fit into the packet that what was submitted since the
  /// last transmission fills: nothing is gained by keeping that back, and the peer can work on it
  /// while we go on. Whoever submits between turns flushes first.
  [[nodiscard]] bool worth_flushing(std::uint32_t length) const noexcept {
    return submitted_bytes_ != 0 && submitted_bytes_ + length + whole_frame_bytes > packet_room_;
  }
  /// Sends what is queued, then ends the flow; `closed` follows at the latest at `deadline`.
  [[nodiscard]] Expected<void> close(Instant now, FlowKey key, Instant deadline) noexcept {
    const std::uint32_t slot = open_slot(key);
    if (slot == no_slot) return failed(Reason::no_such_flow);
    const auto done = flows_[slot].flow.close(now, deadline);
    if (done && !flows_[slot].closing) ++closing_flows_;
    flows_[slot].closing = flows_[slot].closing || done;
    touch(slot);
    return done;
  }
  /// Ends the flow at once, telling the peer; `closed` follows.
  [[nodiscard]] Expected<void> reset(Instant now, FlowKey key, Reason why) noexcept {
    const std::uint32_t slot = open_slot(key);
    if (slot == no_slot) return failed(Reason::no_such_flow);
    flows_[slot].flow.reset(now, why);
    touch(slot);
    return {};
  }
  /// New flows to a port on which several listen, on this engine or others, spread over them.
  [[nodiscard]] Expected<void> listen(std::uint32_t app, std::uint16_t port,
                                      ListenSharing sharing = {}) noexcept {
    if (port == 0 || app >= apps_.size()) return failed(Reason::invalid_argument);
    const Reason why = group_->listeners().add(port, {index_, app}, sharing);
    if (why != Reason::none) return failed(why);
    return {};
  }
  /// Flows accepted before stay open. False: `app` does not listen there.
  bool unlisten(std::uint32_t app, std::uint16_t port) noexcept {
    return group_->listeners().remove(port, {index_, app});
  }
  /// The application is gone: its open flows are reset, closing ones finish by their own deadline,
  /// nothing more is delivered to it. Its memory must live until flow_count(app) is 0.
  void abandon(Instant now, std::uint32_t app, Reason why) noexcept;

  // --- what can be seen ---

  [[nodiscard]] bool is_open(FlowKey key) const noexcept { return open_slot(key) != no_slot; }
  /// Flows that were closed and whose `closed` event has not been delivered yet.
  [[nodiscard]] std::uint32_t closing_flows() const noexcept { return closing_flows_; }
  [[nodiscard]] std::optional<FlowDetails> info(FlowKey key) const noexcept {
    const std::uint32_t slot = flows_.find(key);
    if (slot == no_slot) return std::nullopt;
    return flows_[slot].flow.info();
  }
  [[nodiscard]] EngineCounters counters() const noexcept;
  [[nodiscard]] const Interface& interface() const noexcept { return interface_; }
  /// The NIC's driver may tell the interface things (link, ICMP); for tests and the control thread.
  [[nodiscard]] Interface& interface() noexcept { return interface_; }
  [[nodiscard]] std::uint32_t flow_count() const noexcept { return flows_.size(); }
  [[nodiscard]] std::uint32_t flow_count(std::uint32_t app) const noexcept {
    return apps_[app].flow_count;
  }
  /// visit(FlowKey, AppCookie, const FlowT&) for every flow, ended ones included.
  template <class Visit>
  void for_each_flow(Visit&& visit) noexcept {
    flows_.for_each([&](std::uint32_t slot) {
      visit(flows_.key(slot), flows_[slot].cookie, flows_[slot].flow);
    });
  }
  /// What its flows' queues take.
  [[nodiscard]] const Arena& scratch() const noexcept { return scratch_.arena(); }
  /// The latest clock reading.
  [[nodiscard]] Instant now() const noexcept { return now_; }
  /// Whether another turn has something to do besides receiving.
  [[nodiscard]] bool needs_turn() const noexcept {
    return must_transmit() || touched_count_ != 0 || loopback_count_ != 0 ||
           catching_up_after_ != Duration{} || (inbox_ != nullptr && !inbox_->empty());
  }
  /// When to take a turn at the latest if nothing arrives; at once when needs_turn().
  [[nodiscard]] Instant next_timeout() const noexcept {
    if (needs_turn()) return now_;
    const Instant due =
        std::min({wheel_.next_expiry(), interface_.next_timeout(), paths_.next_timeout()});
    return link_up_ ? due : std::min(due, link_look_at_);  // nothing else tells when it is back
  }
  /// Before sleeping: false when another engine has handed something over; disarm_handover() is due
  /// either way. The group's bell() rings while armed.
  [[nodiscard]] bool arm_handover() noexcept {
    return inbox_ == nullptr || inbox_->declare_asleep();
  }
  void disarm_handover() noexcept;  // handover_inline.hpp
  /// The thread has slept: if news of the link woke it, its next turn looks at the link.
  void note_slept() noexcept;  // turn.hpp
  [[nodiscard]] std::uint32_t index() const noexcept { return index_; }
  [[nodiscard]] EngineGroup& group() const noexcept { return *group_; }
  /// The pair of UDP ports a flow sends by, for tools and tests.
  [[nodiscard]] std::optional<UdpPorts> path_of(FlowKey key) const noexcept {
    const std::uint32_t slot = flows_.find(key);
    if (slot == no_slot) return std::nullopt;
    return flows_[slot].header.ports();
  }
  /// The thread slept on the NIC's own descriptors and the bell: nothing lay unread before `at`.
  void note_ring_empty_until(Instant at) noexcept;  // receive.hpp
  /// O(flows): null, or the invariant that is broken.
  [[nodiscard]] const char* broken_invariant() noexcept;

 private:
  using Slot = detail::FlowSlot<FlowT>;
  using Integrity = typename Policy::Integrity;
  /// How a packet came here.
  struct Way {
    Via via = Via::nic;
    std::uint32_t engine = 0;  // whose queue the NIC chose
  };
  static constexpr std::size_t rx_burst_packets = 32;
  static constexpr std::uint32_t flows_in_cache = 512;  // half a megabyte of slots
  // An answer wakes who waits for it at once; this is for what gives no sign, over many flows.
  static constexpr Duration neighbour_recheck = std::chrono::milliseconds{20};
  // A container's processors may be withheld until the next period of its quota (Linux: 100 ms).
  static constexpr Duration peer_pause = std::chrono::milliseconds{100};
  static constexpr std::size_t loopback_packets = 64;
  static constexpr std::uint32_t events_per_visit = 32;
  static constexpr Duration link_look_every = std::chrono::milliseconds{100};

  // turn.hpp, in the order of a turn
  [[nodiscard]] bool must_transmit() const noexcept {
    return !active_.empty() || tx_.waiting() != 0 || interface_.next_timeout() <= now_ ||
           paths_.next_timeout() <= now_ ||
           (interface_.version() != neighbours_seen_ && !waiting_for_neighbour_.empty());
  }
  void transmit() noexcept;
  void transmit_control() noexcept;
  bool serve(std::uint32_t slot) noexcept;
  [[nodiscard]] Packet* next_packet(bool loopback) noexcept;
  std::size_t write_packet(Slot& host, Packet& packet) noexcept;
  void finish_frame(const HeaderTemplate& header, Packet& packet, std::size_t bytes) noexcept;
  void commit_packet(bool loopback) noexcept;
  void wait_for_neighbour(std::uint32_t slot, Reach reach) noexcept;
  void wake_waiting_for_neighbours() noexcept;

  template <class Clock>
  bool receive(Clock&& clock) noexcept;
  void note_late(Duration gap, bool ring_done, bool inbox_done) noexcept;
  void note_catching_up() noexcept;
  void look_ahead(std::size_t count) noexcept;
  void receive_loopback() noexcept;
  template <class Handle>
  void handle_burst(std::size_t count, Handle&& handle) noexcept;
  Drop receive_frame(const Packet& packet, Arrival& arrival) noexcept;
  Drop packet_too_big(const UdpArrival& quoted) noexcept;
  Drop receive_datagram(const UdpArrival& from, const Arrival& arrival, Way way) noexcept;
  Drop receive_syn(const UdpArrival& from, const Arrival& arrival, Way way) noexcept;
  Drop open_server_flow(const UdpArrival& from, const Arrival& arrival,
                        const VerifiedPacket& packet, const SynBody& syn, Way way) noexcept;
  [[nodiscard]] Drop validate(const UdpArrival& from, const PacketHeader& header,
                              const SynBody& syn) noexcept;
  Drop refuse(const UdpArrival& from, const PacketHeader& syn, Reason why, Drop drop) noexcept;
  Drop no_such_flow(const UdpArrival& from) noexcept;

  // handover_inline.hpp
  Drop hand_over(const UdpArrival& from, Via via, std::uint32_t owner) noexcept;
  Drop put(EngineGroup& group, std::uint32_t owner, const UdpArrival& what, Via via) noexcept;
  Drop to_other_interface(const UdpArrival& from) noexcept;
  [[nodiscard]] bool trade_with_others() noexcept;
  [[nodiscard]] bool take_handovers() noexcept;
  void spread_news() noexcept;
  void ring_others() noexcept;
  // path_inline.hpp
  void join_route(Slot& host) noexcept;
  void choose_first_path(Slot& host) noexcept;
  void look_at_path(std::uint32_t slot, const UdpArrival& from, Way way, Drop drop) noexcept;
  void first_path_is_good(Slot& host) noexcept;
  void find_other_path(std::uint32_t slot) noexcept;
  void take_path(Slot& host, UdpPorts ports) noexcept;
  void try_fresh_path(std::uint32_t slot) noexcept;
  void judge_former_path(std::uint32_t slot) noexcept;
  void transmit_probes() noexcept;
  bool transmit_for(Slot& host, UdpPorts ports, PacketType type, ByteView body) noexcept;
  Drop receive_path_packet(std::uint32_t slot, const UdpArrival& from, Way way) noexcept;

  template <class Write>
  bool answer(const UdpArrival& to, Write&& write) noexcept;

  void look_at_link() noexcept;
  void expire_timers() noexcept;
  void serve_memory() noexcept;
  void deliver_events() noexcept;
  template <class Serve>
  bool for_each_app(std::vector<std::uint64_t>& bits, Serve&& serve) noexcept;
  bool deliver_events_of(std::uint32_t app) noexcept;
  void deliver(std::uint32_t slot, const FlowEvent& event) noexcept;
  bool accept(std::uint32_t slot) noexcept;
  void discard_events(std::uint32_t slot) noexcept;

  // Something happened to the flow: before the turn is over somebody looks at what it wants now.
  void touch(std::uint32_t slot) noexcept {
    if (flows_[slot].touched) return;
    flows_[slot].touched = true;
    touched_[touched_count_++] = slot;
  }
  void activate_touched() noexcept;
  void settle_touched() noexcept;
  void settle(std::uint32_t slot) noexcept;
  void activate(std::uint32_t slot) noexcept {
    flows_[slot].send_list = detail::SendList::active;
    active_.push_back(slot, send_links());
  }
  void leave_send_list(std::uint32_t slot) noexcept;
  void want_events(std::uint32_t slot) noexcept;
  void want_memory(std::uint32_t slot) noexcept;
  void note_end(Slot& host) noexcept {
    if (host.ended) return;
    host.ended = true;
    if (host.closing) --closing_flows_;
  }
  void destroy(std::uint32_t slot) noexcept;
  std::uint32_t make_flow(AppCookie cookie, const HeaderTemplate& header, Role role,
                          const FlowIdentity& who, Instant now, Instant deadline) noexcept;

  [[nodiscard]] std::uint32_t open_slot(FlowKey key) const noexcept {
    const std::uint32_t slot = flows_.find(key);
    return slot == no_slot || flows_[slot].ended ? no_slot : slot;
  }
  // A random pair of UDP ports: the path is as good as any other until the peer says otherwise.
  [[nodiscard]] HeaderTemplate headers_between(const IpAddress& local,
                                               const IpAddress& peer) noexcept {
    const Ecn ecn = options_.flow.ecn ? Ecn::capable : Ecn::not_capable;
    return interface_.make_headers({local, peer, port_range().random_pair(random_), ecn});
  }
  /// An address of this interface or of another one of this host.
  [[nodiscard]] bool is_local(const IpAddress& address) const noexcept {
    return options_.interface.owns(address) ||
           (options_.local && options_.local->group_of(address));
  }
  [[nodiscard]] std::optional<IpAddress> source_for(const IpAddress& peer) const noexcept;
  [[nodiscard]] const FlowOptions& flow_options(const HeaderTemplate& header) const noexcept {
    return header.is_v4() ? options_.flow : flow_ipv6_;
  }
  [[nodiscard]] PortRange port_range() const noexcept {
    return {options_.interface.options.udp_port_first, options_.interface.options.udp_port_last};
  }
  void give_back_loopback() noexcept {
    nic_->release(std::span{loopback_}.first(loopback_count_));
    loopback_count_ = 0;
  }

  auto send_links() noexcept {
    return [this](std::uint32_t slot) -> SlotLink& { return flows_[slot].send; };
  }
  auto event_links() noexcept {
    return [this](std::uint32_t slot) -> SlotLink& { return flows_[slot].events; };
  }
  auto memory_links() noexcept {
    return [this](std::uint32_t slot) -> SlotLink& { return flows_[slot].memory; };
  }
  auto app_links() noexcept {
    return [this](std::uint32_t slot) -> SlotLink& { return flows_[slot].app; };
  }

  NicT* nic_;
  AppSide* app_side_;
  EngineOptions options_;
  FlowOptions flow_ipv6_;  // as options_.flow, for packets with longer headers
  Interface interface_;
  ScratchPool scratch_;
  PathSizes path_sizes_;
  TxQueue<NicT> tx_;
  FlowTable<Slot> flows_;
  TimingWheel wheel_;
  Prng random_;
  Instant now_, last_turn_at_;  // the clock's last reading; that of the last turn
  Instant link_look_at_ = Instant::min();
  std::uint64_t link_interruptions_ = 0;  // those that were answered
  Duration catching_up_after_{};  // a gap that long: no timer until what came during it is read
  std::uint32_t turns_without_timers_ = 0;  // their shares are still to come
  bool link_up_ = true;
  std::uint32_t neighbours_seen_;  // the interface's version when flows last asked it
  ReadProgress ring_read_;
  std::uint32_t half_open_ = 0;
  SipKey cookie_secret_;
  std::uint32_t closing_flows_ = 0;
  std::uint32_t send_budget_ = 0;      // packets this turn may still send
  std::uint64_t submitted_bytes_ = 0;  // since the last transmission, frame heads included
  std::uint32_t packet_room_;          // for frames, in the longest packet
  UdpChecksumBy udp_checksum_ = UdpChecksumBy::zero;
  std::uint16_t next_client_port_;
  SlotList active_;                 // flows that want to transmit, in the order of their turns
  SlotList waiting_for_neighbour_;  // they want to, but their next hop is being resolved
  std::vector<detail::AppState> apps_;
  std::vector<std::uint64_t> apps_with_events_, apps_with_memory_;  // one bit per application
  std::shared_ptr<EngineGroup> group_;
  std::uint32_t index_;     // in the group, and in the low bits of its flow ids
  Inbox* inbox_ = nullptr;  // what others hand over; null when there are no others
  ReadProgress inbox_read_;
  std::uint64_t to_ring_ = 0;  // engines something was put into the inbox of
  Paths paths_;
  RateLimit answers_;
  std::array<Packet, rx_burst_packets> rx_;
  std::array<Packet, loopback_packets> loopback_;  // frames to ourselves, not yet received
  std::size_t loopback_count_ = 0;
  detail::LazyArray<std::uint32_t> touched_;  // slots something happened to, each once
  std::uint32_t touched_count_ = 0;
  bool events_wanted_ = false, memory_wanted_ = false;  // some bit above is set
  bool sparse_ = true;  // the last turn received one packet or none: latency counts, not rate
  TurnReport report_;
  EngineCounters counters_;
};

}  // namespace proa

#include <proa/engine/engine_inline.hpp>
#include <proa/engine/handover_inline.hpp>
#include <proa/engine/path_inline.hpp>
#include <proa/engine/receive.hpp>
#include <proa/engine/turn.hpp>
