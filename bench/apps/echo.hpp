// bench/apps: the echo application. One source for both placements: everything here is written
// against Stack<> and nothing else.
#pragma once
#include <cstdint>
#include <deque>
#include <exception>
#include <iterator>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include <proa/base/fixed_ring.hpp>
#include <proa/stack/stack.hpp>

#include "content.hpp"
#include "echo_options.hpp"
#include "machine.hpp"

namespace proa::bench {

/// Sends every message back to where it came from; holds replies that do not fit yet, and counts
/// those that cannot be sent any more.
template <class Net>
class EchoServer {
 public:
  explicit EchoServer(Net& net) noexcept : net_(&net) {}

  /// Handles events until `stop()`. Sleeps in between if `wait`, else polls.
  template <class Stop>
  void run(bool wait, Stop&& stop) {
    while (!stop())
      if (!look() && wait) static_cast<void>(net_->wait(starved_ ? until_memory : longest_sleep));
  }
  /// Handles the next event, if there is one.
  bool look() {
    if (starved_) [[unlikely]]
      retry_all();
    auto event = net_->poll();
    if (event) handle(*event);
    return bool{event};
  }
  [[nodiscard]] std::uint64_t echoed() const noexcept { return echoed_; }
  /// Messages whose flow had ended, or ended, before their reply could be sent.
  [[nodiscard]] std::uint64_t unanswered() const noexcept { return unanswered_; }
  [[nodiscard]] std::uint64_t ended_flows() const noexcept { return ended_; }
  [[nodiscard]] std::size_t open_flows() const noexcept { return open_; }

 private:
  using Held = std::deque<typename Net::Message>;  // of one flow
  static constexpr std::chrono::milliseconds longest_sleep{100};
  static constexpr std::chrono::milliseconds until_memory{1};

  void handle(typename Net::Event& event) {
    switch (event.kind) {
      case EventKind::accepted:
        ++open_;
        return;
      case EventKind::message:
        return reply(event.flow, std::move(event.message));
      case EventKind::writable:
        return retry(event.flow);
      case EventKind::closed:
        forget(event.flow);
        ++ended_;
        --open_;
        return;
      case EventKind::connected:
      case EventKind::sent:
        return;
    }
  }
  void reply(FlowHandle flow, typename Net::Message message) {
    // What is held already goes first.
    const auto before = held_.empty() ? held_.end() : held_.find(flow.value);
    if (before != held_.end()) return before->second.push_back(std::move(message));
    if (!offer(flow, message)) held_[flow.value].push_back(std::move(message));
  }
  /// False: it is to be offered again. For room there is an event, for memory there is none.
  bool offer(FlowHandle flow, const typename Net::Message& message) {
    const auto sent = net_->send(flow, message.bytes());
    if (sent) {
      ++echoed_;
      return true;
    }
    if (sent.error().would_block()) return false;
    if (sent.error().reason() == Reason::out_of_memory) {
      starved_ = true;
      return false;
    }
    ++unanswered_;
    return true;
  }
  bool offer_all(FlowHandle flow, Held& held) {
    for (; !held.empty(); held.pop_front())
      if (!offer(flow, held.front())) return false;
    return true;
  }
  void retry(FlowHandle flow) {
    const auto held = held_.find(flow.value);
    if (held != held_.end() && offer_all(flow, held->second)) held_.erase(held);
  }
  void retry_all() {
    starved_ = false;
    for (auto held = held_.begin(); held != held_.end();)
      held = offer_all({held->first}, held->second) ? held_.erase(held) : std::next(held);
  }
  void forget(FlowHandle flow) {
    const auto held = held_.find(flow.value);
    if (held == held_.end()) return;
    unanswered_ += held->second.size();
    held_.erase(held);
  }

  Net* net_;
  std::unordered_map<std::uint32_t, Held> held_;
  std::uint64_t echoed_ = 0, unanswered_ = 0, ended_ = 0;
  std::size_t open_ = 0;
  bool starved_ = false;  // some reply waits for memory
};

/// Keeps `window` messages outstanding on each of its flows and checks what comes back.
template <class Net>
class EchoClient {
 public:
  using Outcome = tl::expected<EchoResult, std::string>;

  EchoClient(Net& net, const EchoOptions& options)
      : net_(&net), options_(options), small_(options.size <= small_bytes ? options.size : 0) {}

  /// Connects, measures, waits for what is outstanding, closes. Asks `stop()` at every look, also
  /// while it only waits.
  template <class Stop>
  Outcome run(Stop&& stop) {
    if (auto opened = open_flows(); !opened) return tl::unexpected{opened.error()};
    start();
    while (error_.empty() && !done(stop)) {
      if (refused_) fill_all();
      if (auto event = net_->poll())
        handle(*event);
      else
        look_around();
    }
    if (!error_.empty()) return tl::unexpected{error_};
    result_.seconds = static_cast<double>(last_reply_ - measured_from_) * ns_per_tick() / 1e9;
    if (measured_ > 1) result_.rate = static_cast<double>(measured_ - 1) / result_.seconds;
    close_flows();
    return std::move(result_);
  }

 private:
  static constexpr std::size_t small_bytes = 4096;  // larger ones are made in the stack's memory

  struct Lane {
    Lane(FlowHandle handle, std::uint32_t index, std::size_t window)
        : flow(handle), number(index), sent_at(window) {}
    FlowHandle flow;
    std::uint32_t number;
    std::uint64_t sent = 0, received = 0;
    bool blocked = false;
    FixedRing<std::uint64_t> sent_at;  // in ticks, one per outstanding message
    typename Net::Buffer refused{};    // a large message that did not fit yet
  };

  tl::expected<void, std::string> open_flows() {
    const auto text = [](const char* what, Error error) {
      return tl::unexpected{std::string{what} + ": " + std::string{error.text()}};
    };
    for (std::uint32_t i = 0; i < options_.flows; ++i) {
      auto flow = net_->connect(options_.peer, Deadline{options_.patience});
      if (!flow) return text("cannot connect", flow.error());
      by_flow_.emplace(flow->value, i);
      lanes_.emplace_back(*flow, i, options_.window);
    }
    return {};
  }

  void start() {
    const auto span = static_cast<std::uint64_t>(options_.seconds * 1e9 / ns_per_tick());
    started_ = last_reply_ = ticks();
    // By number all messages count; by time the first tenth warms up.
    measured_from_ = started_ + (options_.messages != 0 ? 0 : span / 10);
    send_until_ = measured_from_ + span;
    patience_ticks_ =
        static_cast<std::uint64_t>(static_cast<double>(options_.patience.count()) / ns_per_tick());
    fill_all();
  }

  template <class Stop>
  bool done(Stop& stop) {
    if (stop()) sending_ = false;
    return !sending_ && outstanding_ == 0;
  }

  bool may_send(std::uint64_t now) {
    if (!sending_) return false;
    sending_ = options_.messages != 0 ? sent_ < options_.messages : now < send_until_;
    return sending_;
  }

  void fill_all() {
    refused_ = false;
    for (Lane& lane : lanes_) fill(lane, ticks());
  }
  void fill(Lane& lane, std::uint64_t now) {
    while (!lane.blocked && lane.sent_at.size() < options_.window && may_send(now)) {
      const auto sent = small_.empty() ? send_large(lane) : send_small(lane);
      if (!sent) return refuse(lane, sent.error());
      static_cast<void>(lane.sent_at.push(now));
      ++lane.sent;
      ++sent_;
      ++outstanding_;
    }
  }
  Result<MessageNumber> send_small(Lane& lane) {
    if (options_.verify || lane.sent == 0) content_.fill(lane.number, lane.sent, small_);
    return net_->send(lane.flow, small_);
  }
  Result<MessageNumber> send_large(Lane& lane) {
    if (!lane.refused) {
      lane.refused = net_->allocate(options_.size);
      if (!lane.refused) return tl::unexpected{Error{Reason::out_of_memory}};
      if (options_.verify) content_.fill(lane.number, lane.sent, lane.refused.bytes());
    }
    return net_->send(lane.flow, std::move(lane.refused));
  }
  void refuse(Lane& lane, Error error) {
    if (error.would_block())
      lane.blocked = true;
    else if (error.reason() == Reason::out_of_memory && outstanding_ != 0)
      refused_ = true;  // replies give memory back
    else
      error_ = "cannot send: " + std::string{error.text()};
  }

  Lane* lane_of(FlowHandle flow) {
    if (lanes_.front().flow == flow) return &lanes_.front();
    const auto found = by_flow_.find(flow.value);
    return found == by_flow_.end() ? nullptr : &lanes_[found->second];
  }

  void handle(typename Net::Event& event) {
    Lane* const lane = lane_of(event.flow);
    if (lane == nullptr) return;
    if (event.kind == EventKind::message) return take_reply(*lane, event.message);
    if (event.kind == EventKind::writable) {
      lane->blocked = false;
      return fill(*lane, ticks());
    }
    if (event.kind == EventKind::closed)
      error_ = "the flow ended: " + std::string{text(event.reason)};
  }

  void take_reply(Lane& lane, const typename Net::Message& message) {
    const std::uint64_t now = last_reply_ = ticks();
    if (lane.sent_at.empty()) return fail(lane, "a reply nobody waits for");
    if (message.size() != options_.size) return fail(lane, "a reply of another size");
    if (options_.verify && !content_.matches(lane.number, lane.received, message.bytes()))
      return fail(lane, "a reply that differs from what was sent");
    const std::uint64_t sent_at = lane.sent_at.pop();
    ++lane.received;
    --outstanding_;
    ++result_.messages;
    result_.bytes += message.size();
    if (now >= measured_from_) {
      if (measured_++ == 0)
        measured_from_ = now;
      else
        result_.rtt.record(
            static_cast<std::uint64_t>(static_cast<double>(now - sent_at) * ns_per_tick()));
    }
    fill(lane, now);
  }
  void fail(const Lane& lane, const char* what) {
    error_ = std::string{what} + " (flow " + std::to_string(lane.number) + ", message " +
             std::to_string(lane.received) + ")";
  }

  // Nothing came: is it still worth waiting?
  void look_around() {
    const std::uint64_t now = ticks();
    if (now > last_reply_ && now - last_reply_ > patience_ticks_)
      error_ = "no reply for " + std::to_string(options_.patience / std::chrono::milliseconds{1}) +
               " ms with " + std::to_string(outstanding_) +
               " messages outstanding; is the server still running?";
    else if (options_.wait)
      static_cast<void>(net_->wait(std::chrono::milliseconds{100}));
  }

  void close_flows() {
    for (const Lane& lane : lanes_) static_cast<void>(net_->close(lane.flow));
    static_cast<void>(net_->drain(std::chrono::seconds{1}));
  }

  Net* net_;
  EchoOptions options_;
  Content content_;
  std::vector<std::byte> small_;
  std::vector<Lane> lanes_;
  std::unordered_map<std::uint32_t, std::uint32_t> by_flow_;
  EchoResult result_;
  std::string error_;
  std::uint64_t started_ = 0, measured_from_ = 0, send_until_ = 0, last_reply_ = 0;
  std::uint64_t patience_ticks_ = 0;
  std::uint64_t sent_ = 0, outstanding_ = 0, measured_ = 0;
  bool sending_ = true;
  bool refused_ = false;  // a lane waits for memory, which no event announces
};

/// The whole program, given its placement. Ctrl-C and SIGTERM end it like the end of its time.
template <class Net>
int echo_main(int argc, char** argv, const char* placement) {
  EchoOptions options;
  if (const auto exit_code = parse_echo_options(argc, argv, options)) return *exit_code;
  watch_signals();
  const auto parsed = Net::Options::parse(options.stack);
  if (!parsed) return say_echo("--stack: " + parsed.error()), 2;
  if (!pin_echo(options.core)) say_echo("--core: refused; running where the system puts it");
  auto net = Net::open(*parsed);
  if (!net) return say_echo(net.error()), 1;
  if (options.server) {
    if (const auto listening = net->listen({options.port}); !listening)
      return say_echo("cannot listen: " + std::string{listening.error().text()}), 1;
    say_echo("listening on port " + std::to_string(options.port));
    EchoServer<Net> server{*net};
    server.run(options.wait, [&] {
      return echo_stop != 0 ||
             (options.once && server.ended_flows() != 0 && server.open_flows() == 0);
    });
    static_cast<void>(net->drain(std::chrono::milliseconds{100}));
    say_echo("echoed " + std::to_string(server.echoed()) + " messages");
    if (server.unanswered() != 0)
      say_echo(std::to_string(server.unanswered()) + " more came on flows that ended too soon");
    return 0;
  }
  const auto result = EchoClient<Net>{*net, options}.run([] { return echo_stop != 0; });
  if (!result) return say_echo(result.error()), 1;
  return report_echo(options, placement, *result) ? 0 : 1;
}

}  // namespace proa::bench
