// bench: raw frames between two processes: round trips, one way, and bulk with one copy per side.
#include "raw_wire.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstring>

#include "histogram.hpp"
#include "machine.hpp"
#include "process.hpp"
#include "raw_l2.hpp"

namespace proa::bench {
namespace {

using tl::unexpected;
using Link = RawLink<DpdkNic>;

constexpr std::size_t bulk_bytes = 8U << 20U;
constexpr std::uint64_t acknowledge_every = 16;  // frames, in bulk

/// A child's words over its control socket.
struct Report {
  char error[240] = {};
  std::uint32_t figures = 0;
  struct {
    char metric[16], unit[16];
    double value;
  } figure[8] = {};

  void add(const Figure& f) {
    auto& to = figure[figures++];
    f.metric.copy(to.metric, sizeof to.metric - 1);
    f.unit.copy(to.unit, sizeof to.unit - 1);
    to.value = f.value;
  }
};

std::uint64_t ticks_of(double seconds) {
  return static_cast<std::uint64_t>(seconds * 1e9 / ns_per_tick());
}
double seconds_of(std::uint64_t passed_ticks) {
  return static_cast<double>(passed_ticks) * ns_per_tick() / 1e9;
}

/// Measures for `seconds` after a tenth of that to warm up; stalls are cut by starting over.
class Span {
 public:
  explicit Span(double seconds)
      : warm_(ticks() + ticks_of(seconds / 10)), end_(warm_ + ticks_of(seconds)) {}
  /// `seen`: whether anything came. A short span may go by while others have the processor.
  [[nodiscard]] bool over(std::uint64_t now, bool seen) const noexcept {
    return now >= (seen ? end_ : end_ + patience_);
  }
  [[nodiscard]] bool warm(std::uint64_t now) const noexcept { return now >= warm_; }
  [[nodiscard]] double seconds(std::uint64_t now) const noexcept { return seconds_of(now - warm_); }

 private:
  std::uint64_t warm_, end_;
  std::uint64_t patience_ = ticks_of(10);
};

/// `window` frames outstanding; each is timed from just before its send to its return.
class EchoClient {
 public:
  EchoClient(DpdkNic& nic, const RawSetup& setup)
      : link_(nic), setup_(setup), sent_at_(std::size_t{setup.window} * 4) {}

  tl::expected<Sample, std::string> run() {
    const Span span{setup_.seconds};
    const auto shortest = ticks_of(0.2);
    auto patience = shortest;
    std::uint64_t now = last_ = ticks();
    for (; !span.over(now, answered_ != 0); now = ticks()) {
      fill(now);
      if (drain(span)) {
        patience = shortest;
        continue;
      }
      if (now - last_ < patience) continue;
      // Frames were lost (a veth pair drops when its reader sleeps): go on without them. Or they
      // are only late, because others have the reader's processor: the next ones have longer.
      patience *= 2;
      base_ = link_.sent();
      last_ = now;
      if (++stalls_ > 10) break;
    }
    if (answered_ == 0) return unexpected<std::string>("no frame came back");
    if (stalls_ > 10) return unexpected<std::string>("frames get lost again and again");
    Sample sample;
    add_latency(sample, histogram_);
    sample.push_back({"rate", "frames/s", static_cast<double>(answered_) / span.seconds(now)});
    return sample;
  }

 private:
  void fill(std::uint64_t now) {
    while (link_.sent() - base_ < setup_.window) {
      const auto first = link_.sent();
      const auto room = setup_.window - (first - base_);
      const auto sent = link_.send(std::min<std::uint64_t>(room, 32), setup_.size);
      if (sent == 0) return;
      for (std::uint64_t i = first; i < first + sent; ++i) sent_at_[i % sent_at_.size()] = now;
      now = ticks();
    }
  }
  bool drain(const Span& span) {
    std::uint64_t now = 0;
    const auto got = link_.receive([&](std::uint64_t number, std::span<std::byte>) {
      if (now == 0) now = ticks();
      if (number < base_ || number >= link_.sent()) return;
      base_ = std::max(base_, number + 1);
      if (!span.warm(now)) return;
      const auto passed = static_cast<double>(now - sent_at_[number % sent_at_.size()]);
      histogram_.record(static_cast<std::uint64_t>(passed * ns_per_tick()));
      ++answered_;
    });
    if (got != 0) last_ = now;
    return got != 0;
  }

  Link link_;
  RawSetup setup_;
  std::vector<std::uint64_t> sent_at_;
  std::uint64_t base_ = 0, last_ = 0, answered_ = 0, stalls_ = 0;
  Histogram histogram_;
};

/// Counts what arrives while it measures; the sender only sends.
tl::expected<Sample, std::string> count_arrivals(DpdkNic& nic, const RawSetup& setup) {
  Link link{nic};
  const Span span{setup.seconds};
  std::uint64_t count = 0, now = ticks();
  bool counting = false;
  for (; !span.over(now, count != 0); now = ticks()) {
    const auto got = link.receive([](std::uint64_t, std::span<std::byte>) {});
    if (counting) count += got;
    counting = span.warm(now);
  }
  if (count == 0) return unexpected<std::string>("no frame arrived");
  return Sample{{"rate", "frames/s", static_cast<double>(count) / span.seconds(now)}};
}

void send_only(DpdkNic& nic, const RawSetup& setup, Control& control) {
  Link link{nic};
  while (!control.ready())
    for (int i = 0; i < 256; ++i) link.send(32, setup.size);
}

void echo_only(DpdkNic& nic, Control& control) {
  Link link{nic};
  while (!control.ready())
    for (int i = 0; i < 4096; ++i) link.echo();
}

/// A message of 8 MiB, over and over, from its buffer into frames.
void send_bulk(DpdkNic& nic, const RawSetup& setup, Control& control) {
  Link link{nic};
  std::vector<std::byte> message(bulk_bytes, std::byte{0x5a});
  std::size_t at = 0;
  std::uint64_t acknowledged = 0, last = ticks();
  const auto patience = ticks_of(0.05);
  const auto fill = [&](std::uint64_t, std::span<std::byte> payload) {
    if (at + payload.size() > message.size()) at = 0;
    std::memcpy(payload.data(), message.data() + at, payload.size());
    at += payload.size();
  };
  for (std::uint64_t round = 0;; ++round) {
    const auto room = setup.window - (link.sent() - acknowledged);
    if (room > 0) link.send(std::min<std::uint64_t>(room, 32), setup.size, fill);
    const auto got = link.receive([&](std::uint64_t number, std::span<std::byte> frame) {
      static_cast<void>(number);
      std::memcpy(&acknowledged, frame.data() + Link::frame_bytes_min, sizeof acknowledged);
    });
    if (got != 0) last = ticks();
    if (round % 1024 != 0) continue;
    if (control.ready()) return;
    if (room == 0 && ticks() - last > patience) {  // an acknowledgement was lost
      acknowledged = link.sent();
      last = ticks();
    }
  }
}

/// Copies each payload to where it belongs in the 8 MiB buffer and acknowledges every 16th frame.
tl::expected<Sample, std::string> receive_bulk(DpdkNic& nic, const RawSetup& setup) {
  Link link{nic};
  std::vector<std::byte> message(bulk_bytes);
  const std::size_t payload_bytes = setup.size - Link::frame_bytes_min;
  const std::uint64_t frames = bulk_bytes / payload_bytes;
  const Span span{setup.seconds};
  std::uint64_t copied = 0, now = ticks(), next = 0, acknowledged = 0;
  for (; !span.over(now, copied != 0); now = ticks()) {
    const bool counts = span.warm(now);
    link.receive([&](std::uint64_t number, std::span<std::byte> frame) {
      const auto payload = frame.subspan(Link::frame_bytes_min);
      const auto at = number % frames * payload_bytes;
      std::memcpy(message.data() + at, payload.data(), std::min(payload.size(), payload_bytes));
      if (counts) copied += payload.size();
      next = number + 1;
    });
    if (next - acknowledged < std::min<std::uint64_t>(acknowledge_every, setup.window)) continue;
    const auto sent = link.send(1, 64, [&](std::uint64_t, std::span<std::byte> payload) {
      std::memcpy(payload.data(), &next, sizeof next);
    });
    if (sent == 1) acknowledged = next;
  }
  if (copied == 0) return unexpected<std::string>("no frame arrived");
  return Sample{
      {"throughput", "Gbit/s", static_cast<double>(copied) * 8 / span.seconds(now) / 1e9}};
}

/// End 0 measures round trips; with one-way kinds end 1 measures what arrives.
std::size_t measuring_end(const RawSetup& setup) { return setup.kind == RawKind::echo ? 0 : 1; }

tl::expected<Sample, std::string> measure(DpdkNic& nic, const RawSetup& setup) {
  switch (setup.kind) {
    case RawKind::echo:
      return EchoClient{nic, setup}.run();
    case RawKind::one_way:
      return count_arrivals(nic, setup);
    case RawKind::bulk:
      break;
  }
  return receive_bulk(nic, setup);
}

void serve(DpdkNic& nic, const RawSetup& setup, Control& control) {
  switch (setup.kind) {
    case RawKind::echo:
      return echo_only(nic, control);
    case RawKind::one_way:
      return send_only(nic, setup, control);
    case RawKind::bulk:
      return send_bulk(nic, setup, control);
  }
}

int run_end(const Wire& wire, const RawSetup& setup, std::size_t end, Control& control) {
  Report report;
  const auto fail = [&](const std::string& why) {
    why.copy(report.error, sizeof report.error - 1);
    control.send(report);
    return 1;
  };
  auto port = Port<DpdkNic>::open(wire.enter(end));
  if (!port) return fail(port.error());
  auto nic = port->take_queue();
  if (!nic) return fail(nic.error());
  pin(end == 0 ? setup.core_a : setup.core_b);
  control.send(Report{});  // ready
  if (!control.receive<char>()) return 1;
  if (end != measuring_end(setup)) {
    serve(*nic, setup, control);
    return 0;
  }
  const auto sample = measure(*nic, setup);
  if (!sample) return fail(sample.error());
  for (const auto& figure : *sample) report.add(figure);
  control.send(report);
  static_cast<void>(control.receive<char>());
  return 0;
}

std::string ready(ChildProcess& child) {
  const auto report = child.control().receive<Report>();
  return report ? report->error : "a process with a raw port died while it started";
}

}  // namespace

std::vector<std::string> Wire::names() {
  return {"memif", "memif-zc", "veth-af_packet", "veth-af_xdp"};
}

Wire::Wire(Wire&&) noexcept = default;
Wire::~Wire() {
  if (!socket_.empty()) ::unlink(socket_.c_str());
}

tl::expected<Wire, std::string> Wire::make(const std::string& name, std::uint32_t mtu) {
  Wire wire;
  wire.name_ = name;
  wire.mtu_ = mtu;
  if (name.starts_with("memif")) {
    static unsigned serial = 0;
    wire.socket_ =
        fmt::format("{}/proa-bench-{}-{}.sock", temporary_directory(), ::getpid(), serial++);
    return wire;
  }
  auto hosts = TwoHosts::make(mtu);
  if (!hosts) return unexpected(hosts.error());
  wire.hosts_ = std::make_unique<TwoHosts>(std::move(*hosts));
  return wire;
}

DpdkOptions Wire::enter(std::size_t end) const {
  DpdkOptions options;
  options.mtu = mtu_;
  if (hosts_) {
    hosts_->enter(end);
    options.driver = name_ == "veth-af_xdp" ? DpdkDriver::af_xdp : DpdkDriver::af_packet;
    options.interface = TwoHosts::interface;
    return options;
  }
  options.memif.role = end == 0 ? MemifRole::client : MemifRole::server;
  options.memif.socket = socket_;
  options.memif.zero_copy = end == 0 && name_ == "memif-zc";
  options.memif.connect_for = std::chrono::seconds(30);
  return options;
}

tl::expected<Sample, std::string> measure_raw(const Wire& wire, const RawSetup& setup) {
  const auto start = [&](std::size_t end) {
    return ChildProcess::start(
        [&, end](Control& control) { return run_end(wire, setup, end, control); });
  };
  auto second = start(1);
  auto first = start(0);
  if (!first || !second) return unexpected(first ? second.error() : first.error());
  for (auto* child : {&*second, &*first})
    if (auto wrong = ready(*child); !wrong.empty()) return unexpected(std::move(wrong));
  auto& measuring = measuring_end(setup) == 0 ? *first : *second;
  auto& serving = measuring_end(setup) == 0 ? *second : *first;
  serving.control().send('g');
  measuring.control().send('g');
  const auto patience = std::chrono::milliseconds(static_cast<int>(setup.seconds * 5000) + 60'000);
  const auto report = measuring.control().receive<Report>(patience);
  serving.control().send('s');
  measuring.control().send('s');
  for (auto* child : {&*first, &*second}) child->stop(std::chrono::seconds(2));
  if (!report) return unexpected<std::string>("a process with a raw port died");
  if (report->error[0] != 0) return unexpected<std::string>(report->error);
  Sample sample;
  for (std::uint32_t i = 0; i < report->figures; ++i)
    sample.push_back({report->figure[i].metric, report->figure[i].unit, report->figure[i].value});
  return sample;
}

}  // namespace proa::bench
