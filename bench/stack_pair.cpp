// bench: two processes with an in-process stack each on one wire: echo and streams.
#include "stack_pair.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <proa/in_process.hpp>
#include <proa/nic/lossy_port.hpp>

#include "apps/connect.hpp"
#include "apps/echo.hpp"
#include "machine.hpp"
#include "process.hpp"
#include "report_message.hpp"

namespace proa::bench {
namespace {

using PlainNet = Stack<InProcess<DpdkNic>>;
using LossyNet = Stack<InProcess<Lossy<DpdkNic>>>;
using tl::unexpected;

constexpr std::uint16_t port = 7000;
constexpr std::uint32_t stream_flow = 0;  // its number, for the content
// Of what only a bug or a very busy machine delays.
constexpr std::chrono::seconds start_patience{60}, reply_patience{30};

IpAddress address_of(std::size_t end, bool ipv6) {
  if (ipv6) return *parse_ip(end == 0 ? "fd00:117::11" : "fd00:117::12");
  return IpAddress::v4(10, 117, 0, static_cast<std::uint8_t>(11 + end));
}

/// What an end's NIC does to what it sends. Without loss every packet still takes the same way
/// through the decorator, so that lossy cases are compared with their like.
LossyFaults faults_of(std::uint32_t loss_ppm) {
  static constexpr std::uint64_t no_packet = std::numeric_limits<std::uint64_t>::max();
  LossyFaults out;
  out.drop_ppm = loss_ppm;
  out.drop_list = {&no_packet, 1};
  return out;
}

template <class Net>
tl::expected<Net, std::string> open_stack(const Wire& wire, std::size_t end,
                                          const StackSetup& setup) {
  auto options = Net::Options::parse(setup.options);
  if (!options) return unexpected(options.error());
  using NicOptions = decltype(options->nic);
  options->nic = NicOptions{wire.enter(end)};
  if constexpr (requires { options->nic.seed; }) options->nic.seed = end + 1;
  options->interface.mtu_bytes = wire.mtu();
  options->interface.addresses = {{address_of(end, false), 24}, {address_of(end, true), 64}};
  return Net::open(*options);
}

/// True now and then when the parent said something; looking costs a system call.
class Told {
 public:
  explicit Told(Control& control) noexcept : control_(&control) {}
  bool operator()() noexcept { return ++asked_ % 1024 == 0 && control_->ready(); }

 private:
  Control* control_;
  std::uint32_t asked_ = 0;
};

template <class Net>
Outcome echo_client(Net& net, const StackSetup& setup) {
  EchoOptions options;
  options.peer = {address_of(1, setup.ipv6), port};
  options.size = setup.size;
  options.window = setup.window;
  options.flows = setup.flows;
  options.seconds = setup.seconds;
  options.messages = setup.messages;
  options.verify = setup.verify;
  options.wait = setup.wait;
  options.patience = reply_patience;
  const auto result = EchoClient<Net>{net, options}.run([] { return false; });
  if (!result) return unexpected(result.error());
  if (setup.messages != 0 && result->messages != setup.messages)
    return unexpected(fmt::format("{} replies to {} messages", result->messages, setup.messages));
  Sample sample;
  add_latency(sample, result->rtt);
  sample.push_back({"rate", "messages/s", result->rate});
  return sample;
}

template <class Net>
Outcome connect_client(Net& net, const StackSetup& setup) {
  ConnectOptions options;
  options.peer = {address_of(1, setup.ipv6), port};
  options.window = setup.window;
  options.seconds = setup.seconds;
  const auto result = ConnectClient<Net>{net, options}.run();
  if (!result) return unexpected(result.error());
  Sample sample;
  add_latency(sample, result->setup);
  sample.push_back({"rate", "set-ups/s", result->rate});
  sample.push_back({"first", "us", result->first_us});
  sample.push_back({"packets", "per set-up", result->packets});
  return sample;
}

template <class Net>
Outcome echo_server(Net& net, const StackSetup& setup, Control& control) {
  EchoServer<Net> server{net};
  if (setup.wait)
    server.run(true, [&] { return control.ready(); });
  else
    server.run(false, Told{control});
  return Sample{};
}

/// Sends until told to stop. The stack's own limits bound it, or `window` messages not yet known to
/// have arrived.
template <class Net>
class Sender {
 public:
  Sender(Net& net, const StackSetup& setup) : net_(&net), setup_(setup), small_(setup.size) {}

  Outcome run(Control& control) {
    const auto flow = net_->connect({address_of(1, setup_.ipv6), port}, reply_patience);
    if (!flow) return unexpected("cannot connect: " + std::string{flow.error().text()});
    Told told{control};
    while (error_.empty() && !told()) {
      fill(*flow);
      const auto event = net_->poll();  // one at a time: they may never end while we send
      if (!event || event->flow != *flow) continue;  // another's: of the measurement before
      if (event->kind == EventKind::writable) blocked_ = false;
      if (event->kind == EventKind::sent) outstanding_ = newest_.since(event->number);
      if (event->kind == EventKind::closed)
        return unexpected("the flow ended: " + std::string{text(event->reason)});
    }
    if (!error_.empty()) return unexpected(error_);
    // What is under way is of no use any more; the polls until the next order tell the peer so.
    static_cast<void>(net_->reset(*flow));
    return Sample{};
  }

 private:
  static constexpr std::uint32_t at_once = 128;  // then the stack gets its turn
  static constexpr std::size_t small_bytes = 4096;

  void fill(FlowHandle flow) {
    for (std::uint32_t i = 0; i < at_once && !blocked_ && error_.empty(); ++i) {
      if (setup_.window != 0 && outstanding_ >= setup_.window) return;
      const auto sent = setup_.size <= small_bytes ? send_small(flow) : send_large(flow);
      if (sent) {
        ++number_;
        newest_ = *sent;
        outstanding_ += setup_.window != 0 ? 1 : 0;
      } else if (sent.error().would_block()) {
        blocked_ = true;
      } else if (sent.error().reason() == Reason::out_of_memory) {
        return;  // acknowledgements give memory back
      } else {
        error_ = "cannot send: " + std::string{sent.error().text()};
      }
    }
  }
  Result<MessageNumber> send_small(FlowHandle flow) {
    if (setup_.verify) content_.fill(stream_flow, number_, small_);
    return net_->send(flow, small_, {.notify = setup_.window != 0});
  }
  Result<MessageNumber> send_large(FlowHandle flow) {
    if (!buffer_) {
      buffer_ = net_->allocate(setup_.size);
      if (!buffer_) return unexpected<Error>(Reason::out_of_memory);
      if (setup_.verify) content_.fill(stream_flow, number_, buffer_.bytes());
    }
    return net_->send(flow, std::move(buffer_), {.notify = setup_.window != 0});
  }

  Net* net_;
  StackSetup setup_;
  Content content_;
  std::vector<std::byte> small_;
  typename Net::Buffer buffer_;
  std::uint64_t number_ = 0;
  MessageNumber newest_;           // of the last message sent
  std::uint32_t outstanding_ = 0;  // messages up to it; one `sent` may tell of several
  bool blocked_ = false;
  std::string error_;
};

/// Counts the messages of the next flow, from a tenth of the time after the first one on.
template <class Net>
class Receiver {
 public:
  Receiver(Net& net, const StackSetup& setup) : net_(&net), setup_(setup) {}

  Outcome run() {
    const auto span = static_cast<std::uint64_t>(setup_.seconds * 1e9 / ns_per_tick());
    std::uint64_t now = ticks(), last = now, first = 0;
    const auto patience = static_cast<std::uint64_t>(
        std::chrono::duration<double, std::nano>(reply_patience).count() / ns_per_tick());
    for (std::uint64_t end = 0; error_.empty() && (end == 0 || now < end); now = ticks()) {
      const std::uint64_t before = received_;
      for (std::uint32_t i = 0; i < 64; ++i)
        if (auto event = net_->poll()) handle(*event);
      if (received_ != before) last = now;
      if (first == 0 && received_ != 0) first = now;
      if (end == 0 && first != 0 && now - first > span / 10) {
        end = now + span;
        warm_at_ = now;
        warm_count_ = received_;
      }
      if (now - last > patience)
        return unexpected<std::string>("nothing arrived for half a minute");
    }
    if (!error_.empty()) return unexpected(error_);
    const double seconds = static_cast<double>(now - warm_at_) * ns_per_tick() / 1e9;
    const double rate = static_cast<double>(received_ - warm_count_) / seconds;
    return Sample{{"rate", "messages/s", rate},
                  {"throughput", "Gbit/s", rate * setup_.size * 8e-9}};
  }

 private:
  void handle(const typename Net::Event& event) {
    if (event.kind == EventKind::accepted) flow_ = event.flow;
    if (!flow_ || event.flow != *flow_) return;  // what is left of the measurement before
    if (event.kind == EventKind::closed)
      error_ = "the flow ended: " + std::string{text(event.reason)};
    if (event.kind != EventKind::message) return;
    if (event.message.size() != setup_.size)
      error_ = "a message of another size came";
    else if (setup_.verify && !content_.matches(stream_flow, received_, event.message.bytes()))
      error_ = fmt::format("message {} differs from what was sent", received_);
    ++received_;
  }

  Net* net_;
  StackSetup setup_;
  Content content_;
  std::optional<FlowHandle> flow_;
  std::uint64_t received_ = 0, warm_at_ = 0, warm_count_ = 0;
  std::string error_;
};

/// Alive until there is something to hear: it answers its neighbours.
template <class Net>
void poll_until_ready(Net& net, const Control& control) {
  while (!control.ready()) static_cast<void>(net.poll());
}

/// What both ends hear before each measurement.
struct Order {
  double seconds = 0;
  std::uint32_t loss_ppm = 0;
};

/// Opens the stack and says so. Then measures as often as it is ordered to, until the parent
/// leaves: says that it is ready, does its part, reports.
template <class Net, class Body>
int run_end(const Wire& wire, std::size_t end, const StackSetup& setup, Control& control,
            const Body& body) {
  auto net = open_stack<Net>(wire, end, setup);
  if (!net) return control.send(ReportMessage{unexpected(net.error())}), 1;
  pin(end == 0 ? setup.core_a : setup.core_b);
  if (const auto listening = net->listen({port}); !listening)
    return control.send(ReportMessage{unexpected<std::string>("cannot listen")}), 1;
  control.send(ReportMessage{});
  while (true) {
    poll_until_ready(*net, control);
    const auto order = control.receive<Order>();
    if (!order) return 0;
    if constexpr (requires { net->placement().nic().set_tx(LossyFaults{}); })
      net->placement().nic().set_tx(faults_of(order->loss_ppm));
    control.send(ReportMessage{});
    StackSetup ordered = setup;
    ordered.seconds = order->seconds;
    control.send(ReportMessage{body(*net, ordered)});
  }
}

/// The part of an end that does not measure: until it is told to stop.
template <class Net, class Body>
Outcome until_told(Net& net, Control& control, const Body& body) {
  Outcome outcome = body();
  poll_until_ready(net, control);  // it may have ended by itself
  static_cast<void>(control.receive<char>());
  return outcome;
}

/// The parent's hold on both processes, which end with it.
class StackPair {
 public:
  template <class Net>
  static tl::expected<StackPair, std::string> start(const Wire& wire, const StackSetup& setup) {
    const bool stream = setup.kind == StackKind::stream;
    auto server = ChildProcess::start([&](Control& control) {
      return run_end<Net>(wire, 1, setup, control, [&](Net& net, const StackSetup& ordered) {
        if (stream) return Receiver<Net>{net, ordered}.run();
        return until_told(net, control, [&] { return echo_server(net, ordered, control); });
      });
    });
    if (!server) return unexpected(server.error());
    auto client = ChildProcess::start([&](Control& control) {
      return run_end<Net>(wire, 0, setup, control, [&](Net& net, const StackSetup& ordered) {
        if (setup.kind == StackKind::connect) return connect_client(net, ordered);
        if (!stream) return echo_client(net, ordered);
        return until_told(net, control, [&] { return Sender<Net>{net, ordered}.run(control); });
      });
    });
    if (!client) return unexpected(client.error());
    StackPair pair{std::move(*server), std::move(*client), stream};
    if (auto ready = heard(pair.server_, "server", start_patience); !ready)
      return unexpected(ready.error());
    if (auto ready = heard(pair.client_, "client", start_patience); !ready)
      return unexpected(ready.error());
    return pair;
  }
  StackPair(StackPair&&) = default;
  ~StackPair() {
    // The client, forked later, holds a copy of our end of the server's socket.
    client_.stop(std::chrono::seconds{20});
    server_.stop(std::chrono::seconds{20});
  }

  /// After an error the ends are out of step: it is of no more use.
  Outcome measure(const Order& order) {
    // The server first: it shall not miss the flow that the client opens at once.
    if (auto ready = tell(server_, "server", order); !ready) return ready;
    if (auto ready = tell(client_, "client", order); !ready) return ready;
    auto& measuring = stream_ ? server_ : client_;
    auto& other = stream_ ? client_ : server_;
    const std::chrono::milliseconds patience{
        static_cast<std::int64_t>(std::ceil(order.seconds * 2e3)) + 120'000};
    auto outcome = heard(measuring, stream_ ? "receiver" : "client", patience);
    other.control().send('s');  // its body ends when the control socket becomes readable
    const auto last_words = heard(other, stream_ ? "sender" : "server", start_patience);
    // The end that knows the cause is the one to quote.
    if (!last_words) return last_words;
    return outcome;
  }

 private:
  StackPair(ChildProcess server, ChildProcess client, bool stream)
      : server_(std::move(server)), client_(std::move(client)), stream_(stream) {}

  static Outcome tell(ChildProcess& end, const std::string& who, const Order& order) {
    end.control().send(order);
    return heard(end, who, start_patience);
  }

  ChildProcess server_, client_;
  bool stream_;
};

tl::expected<StackPair, std::string> start_pair(const Wire& wire, const StackSetup& setup) {
  return setup.loss_ppm ? StackPair::start<LossyNet>(wire, setup)
                        : StackPair::start<PlainNet>(wire, setup);
}

/// One of so many equal parts of a mean.
void add_share(Sample& mean, const Sample& part, std::size_t parts) {
  if (mean.empty())
    for (const auto& figure : part) mean.push_back({figure.metric, figure.unit, 0});
  for (std::size_t i = 0; i < part.size(); ++i)
    mean[i].value += part[i].value / static_cast<double>(parts);
}

}  // namespace

Outcome measure_stacks(const Wire& wire, const StackSetup& setup) {
  auto pair = start_pair(wire, setup);
  if (!pair) return unexpected(pair.error());
  return pair->measure({setup.seconds, setup.loss_ppm.value_or(0)});
}

tl::expected<std::vector<Sample>, std::string> measure_lossy_streams(
    const Wire& wire, const StackSetup& setup, const std::vector<std::uint32_t>& losses_ppm) {
  StackSetup lossy = setup;
  lossy.loss_ppm = 0;
  auto pair = start_pair(wire, lossy);
  if (!pair) return unexpected(pair.error());
  // The first flow takes the memory from the system page by page; the others find it there.
  if (auto first = pair->measure({std::min(setup.seconds, 0.1), 0}); !first)
    return unexpected("before any loss: " + first.error());
  constexpr std::size_t rounds = 4;
  std::vector<Sample> out(losses_ppm.size());
  for (std::size_t round = 0; round < rounds; ++round)
    for (std::size_t k = 0; k < out.size(); ++k) {
      // Every other time backwards: what drifts meanwhile falls on all alike.
      const std::size_t i = round % 2 == 0 ? k : out.size() - 1 - k;
      const auto sample = pair->measure({setup.seconds / rounds, losses_ppm[i]});
      if (!sample)
        return unexpected(
            fmt::format("{} of a million packets lost: {}", losses_ppm[i], sample.error()));
      add_share(out[i], *sample, rounds);
    }
  return out;
}

}  // namespace proa::bench
