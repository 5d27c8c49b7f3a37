// L4: the placement in which the stack runs in the application's own thread.
#pragma once
#include <sys/random.h>

#include <cstdint>
#include <cstring>
#include <memory>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include <tl/expected.hpp>

#include <proa/base/clock.hpp>
#include <proa/engine/engine.hpp>
#include <proa/nic/port.hpp>
#include <proa/stack/direct_side.hpp>
#include <proa/stack/give_way.hpp>
#include <proa/stack/in_process_options.hpp>
#include <proa/stack/placement.hpp>
#include <proa/stack/waiter.hpp>

namespace proa {

namespace detail {

template <class Policy>
struct ClockOf {
  using type = CycleClock;
};
/// A policy may bring its own clock: a callable that returns the Instant (virtual time in tests).
template <class Policy>
requires requires { typename Policy::Clock; }
struct ClockOf<Policy> {
  using type = typename Policy::Clock;
};

struct DropLocal {
  template <class Home>
  void operator()(Home* home) const noexcept {
    home->drop_local();
  }
};

}  // namespace detail

/// One queue pair of `NicT` and the engine behind it, driven by the calls of one thread: silence of
/// the application past the idle limit looks dead to its peers.
template <Nic NicT, class Policy = DefaultPolicy>
class InProcess {
 public:
  using PortT = Port<NicT>;
  using Options = InProcessOptions<typename PortT::Options>;
  using Memory = HeapMemory;
  using EngineT = Engine<NicT, DirectSide, Policy>;
  using FlowInfo = typename EngineT::FlowDetails;
  using Counters = EngineCounters;
  template <class T>
  using Opened = tl::expected<T, std::string>;

  /// Opens a port of its own and takes its first queue pair.
  [[nodiscard]] static Opened<std::unique_ptr<InProcess>> open(const Options& options) {
    auto port = PortT::open(options.nic);
    if (!port) return tl::unexpected{std::move(port).error()};
    return open(*port, options);
  }
  /// Takes the next queue pair of a port that others use too, each with an engine of its own. Every
  /// queue pair wants a stack that polls it: what the NIC puts into another is lost.
  [[nodiscard]] static Opened<std::unique_ptr<InProcess>> open(PortT& port,
                                                               const Options& options) {
    auto nic = port.take_queue();
    if (!nic) return tl::unexpected{std::move(nic).error()};
    Options own = options;
    if constexpr (requires { port.companion([] { return std::shared_ptr<void>{}; }); }) {
      if (port.queue_pairs() > 1) {
        own.engine.group = std::static_pointer_cast<EngineGroup>(port.companion(
            [&] { return make_group(port.queue_pairs(), options.interface.mtu_bytes); }));
        own.engine.index = nic->capabilities().queue;
      }
    }
    return adopt(std::move(*nic), own);
  }
  /// Runs on a queue pair somebody else has set up.
  [[nodiscard]] static Opened<std::unique_ptr<InProcess>> adopt(NicT nic, const Options& options);

  InProcess(const InProcess&) = delete;
  InProcess& operator=(const InProcess&) = delete;
  ~InProcess() {
    engine_.abandon(clock_(), 0, Reason::stack_shutdown);
    engine_.flush(clock_);
  }

  [[nodiscard]] Instant now() noexcept { return clock_(); }
  [[nodiscard]] LeaseHome<Memory>& home() noexcept { return *home_; }

  [[nodiscard]] Expected<void> listen(const Listen& to) noexcept {
    if (!is_here(to.local)) return failed(Reason::invalid_argument);
    return engine_.listen(0, to.port, {to.shared, 0});
  }
  [[nodiscard]] Expected<void> unlisten(const Listen& to) noexcept {
    if (is_here(to.local) && engine_.unlisten(0, to.port)) return {};
    return failed(Reason::invalid_argument);
  }
  [[nodiscard]] Expected<FlowHandle> connect(const Endpoint& peer, Instant deadline) noexcept {
    const auto key = engine_.connect(clock_(), {0, 0}, peer, deadline);
    if (!key) return failed(key.error());
    return FlowHandle{key->value};
  }
  [[nodiscard]] Expected<MessageBlock> allocate(std::uint32_t length, FlowHandle) noexcept {
    if (length > message_bytes_max_) return failed(Reason::message_too_large);
    const auto block = home_->memory().allocate_send(length);
    if (!block) return failed(Reason::out_of_memory);
    return *block;
  }
  [[nodiscard]] Reason send(FlowHandle flow, const MessageBlock& block, bool notify,
                            MessageNumber& number) noexcept {
    return submit(flow, block, notify, number);
  }
  [[nodiscard]] Reason send_copy(FlowHandle flow, std::span<const std::byte> bytes, bool notify,
                                 MessageNumber& number) noexcept;
  [[nodiscard]] Expected<void> close(FlowHandle flow, Instant deadline) noexcept {
    return engine_.close(clock_(), {flow.value}, deadline);
  }
  [[nodiscard]] Expected<void> reset(FlowHandle flow) noexcept {
    return engine_.reset(clock_(), {flow.value}, Reason::reset_by_application);
  }

  [[nodiscard]] bool take_event(PlacementEvent& event) noexcept { return side_.take(event); }
  void turn() noexcept {
    if (armed_) [[unlikely]]
      disarm();
    const TurnReport report = engine_.turn(clock_);
    idle_ = report.idle();
    if (idle_) [[likely]]
      return give_way_.idle(engine_.now(), active_at_);
    active_at_ = engine_.now();
    waiter_.stir();
  }
  void flush() noexcept { engine_.flush(clock_); }
  void sleep(Instant until) noexcept {
    const Instant now = engine_.now();
    // An idle turn although something waits: the NIC takes nothing, its ring is full or link down.
    const bool blocked = idle_ && engine_.needs_turn();
    until = std::min(until, blocked ? now + blocked_nap : engine_.next_timeout());
    if constexpr (requires { clock_.sleep_until(until); }) {
      clock_.sleep_until(until);
    } else {
      if (now - active_at_ < spin_ && !give_way_.oversubscribed()) return;
      if (engine_.arm_handover() && waiter_.sleep(nic_, clock_(), soon(until)))
        engine_.note_ring_empty_until(clock_() - usual_wake_up);
      engine_.disarm_handover();
      engine_.note_slept();
    }
  }
  [[nodiscard]] bool arm() noexcept {
    armed_ = side_.empty() && !engine_.needs_turn() && engine_.arm_handover() &&
             waiter_.arm(nic_, clock_(), soon(engine_.next_timeout()));
    if (!armed_) engine_.disarm_handover();
    return armed_;
  }
  [[nodiscard]] int native_handle() const noexcept { return waiter_.handle(); }
  [[nodiscard]] std::uint32_t closing_flows() noexcept { return engine_.closing_flows(); }

  [[nodiscard]] Expected<FlowInfo> flow_info(FlowHandle flow) noexcept {
    const auto info = engine_.info({flow.value});
    if (!info) return failed(Reason::no_such_flow);
    return *info;
  }
  [[nodiscard]] Counters counters() noexcept { return engine_.counters(); }
  [[nodiscard]] std::vector<InterfaceInfo> interfaces() const {
    return {engine_.interface().options().info({})};
  }
  [[nodiscard]] const EngineT& engine() const noexcept { return engine_; }
  [[nodiscard]] const NicT& nic() const noexcept { return nic_; }
  /// For what a NIC lets one change while it runs, such as the faults of a Lossy one.
  [[nodiscard]] NicT& nic() noexcept { return nic_; }

 private:
  static constexpr Duration blocked_nap = std::chrono::milliseconds{1};
  // A memif link that goes or comes wakes it; of other links it hears because it looks.
  static constexpr Duration longest_sleep = std::chrono::seconds{1};

  [[nodiscard]] bool is_here(const IpAddress& local) const noexcept {
    return local.is_unset() || engine_.interface().options().owns(local);
  }
  [[nodiscard]] Instant soon(Instant until) noexcept {
    return std::min(until, later(clock_(), longest_sleep));
  }
  Reason submit(FlowHandle flow, const MessageBlock& block, bool notify,
                MessageNumber& number) noexcept {
    if (engine_.worth_flushing(block.length)) [[unlikely]]
      engine_.flush(clock_);
    return engine_.submit(engine_.now(), {flow.value}, block, notify, number);
  }

  static std::shared_ptr<void> make_group(std::uint32_t engines, std::uint32_t mtu_bytes) {
    EngineGroupOptions options;
    options.engines = engines;
    options.payload_bytes_max = mtu_bytes;
    return std::make_shared<EngineGroup>(options);
  }
  void disarm() noexcept {
    armed_ = false;
    nic_.disarm_wait();
    engine_.disarm_handover();
    engine_.note_slept();
  }
  InProcess(NicT nic, Waiter waiter, const Options& options, const EngineOptions& engine)
      : home_(new LeaseHome<Memory>(options.memory)),
        nic_(std::move(nic)),
        waiter_(std::move(waiter)),
        side_(*home_),
        engine_(nic_, side_, engine, clock_()),
        spin_(options.spin),
        message_bytes_max_(options.engine.flow.message_bytes_max) {
    static_assert(Placement<InProcess>);
    if (engine_.group().size() > 1) waiter_.watch_also(engine_.group().bell(engine_.index()));
  }

  std::unique_ptr<LeaseHome<Memory>, detail::DropLocal> home_;  // goes last
  NicT nic_;
  typename detail::ClockOf<Policy>::type clock_;
  Waiter waiter_;
  DirectSide side_;
  EngineT engine_;
  GiveWay give_way_;
  Instant active_at_{};
  bool idle_ = false;  // the last turn
  Duration spin_;
  std::uint32_t message_bytes_max_;
  bool armed_ = false;
};

template <Nic NicT, class Policy>
auto InProcess<NicT, Policy>::adopt(NicT nic, const Options& options)
    -> Opened<std::unique_ptr<InProcess>> {
  EngineOptions engine = options.engine;
  InterfaceOptions interface = options.interface;
  if (interface.mac.is_zero()) interface.mac = nic.capabilities().mac;
  engine.flow.packet_bytes_max = interface.mtu_bytes;  // the engine takes the headers off
  auto plan = InterfacePlan::make(std::move(interface));
  if (!plan) return tl::unexpected{std::move(plan).error()};
  engine.interface = std::move(*plan);
  engine.apps_max = 1;
  std::uint64_t random[2] = {};
  if (engine.seed == 0 && ::getrandom(random, sizeof random, 0) == sizeof random) {
    engine.seed = random[0];
    engine.flow.incarnation = static_cast<std::uint32_t>(random[1]);
  }
  if (engine.flow.incarnation == 0)
    engine.flow.incarnation = Prng{engine.seed ^ 0x696e'6361'726eU}.next32();
  auto waiter = Waiter::open(nic);
  if (!waiter) return tl::unexpected{std::move(waiter).error()};
  try {
    return std::unique_ptr<InProcess>{
        new InProcess(std::move(nic), std::move(*waiter), options, engine)};
  } catch (const std::bad_alloc&) {
    return tl::unexpected{std::string{
        "not enough address space for the stack; lower flows, send_memory or receive_memory"}};
  }
}

template <Nic NicT, class Policy>
Reason InProcess<NicT, Policy>::send_copy(FlowHandle flow, std::span<const std::byte> bytes,
                                          bool notify, MessageNumber& number) noexcept {
  if (bytes.size() > message_bytes_max_) return Reason::message_too_large;
  HeapMemory& memory = home_->memory();
  const auto length = static_cast<std::uint32_t>(bytes.size());
  const auto block = memory.allocate_send(length);
  if (!block) {
    if (!engine_.is_open({flow.value})) return Reason::no_such_flow;
    side_.note_starved({flow.value}, length);
    return Reason::would_block;
  }
  if (!bytes.empty()) std::memcpy(block->data, bytes.data(), bytes.size());
  const Reason why = submit(flow, *block, notify, number);
  if (why != Reason::none) memory.release(*block);
  return why;
}

}  // namespace proa
