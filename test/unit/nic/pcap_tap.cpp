// PcapTap and PcapSink: our own reading of what was written, and tshark's.
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include <catch2/catch.hpp>

#include <proa/nic/lossy.hpp>
#include <proa/nic/pcap_tap.hpp>
#include <proa/nic/sim.hpp>

#include "frames.hpp"

using namespace proa;
using namespace proa::test;

static_assert(Nic<PcapTap<Lossy<SimNic>>>);

namespace {

/// A file name of this process's own, removed at the end.
struct TemporaryFile {
  TemporaryFile() {
    std::array<char, 40> name{"/tmp/proa_sim_pcap_XXXXXX"};
    const int fd = ::mkstemp(name.data());
    REQUIRE(fd >= 0);
    ::close(fd);
    path = name.data();
  }
  TemporaryFile(const TemporaryFile&) = delete;
  TemporaryFile& operator=(const TemporaryFile&) = delete;
  ~TemporaryFile() { ::unlink(path.c_str()); }
  [[nodiscard]] std::vector<std::byte> content() const {
    std::vector<std::byte> out;
    std::FILE* file = std::fopen(path.c_str(), "rb");
    REQUIRE(file != nullptr);
    std::array<std::byte, 4096> part;
    while (const std::size_t n = std::fread(part.data(), 1, part.size(), file))
      out.insert(out.end(), part.begin(), part.begin() + static_cast<std::ptrdiff_t>(n));
    std::fclose(file);
    return out;
  }
  std::string path;
};

std::uint32_t word(const std::vector<std::byte>& in, std::size_t at) {
  std::uint32_t v = 0;
  REQUIRE(at + 4 <= in.size());
  std::memcpy(&v, in.data() + at, 4);
  return v;
}

struct Captured {
  std::uint32_t interface = 0, direction = 0;
  std::uint64_t time_ns = 0;
  std::vector<std::byte> frame;
};

/// Reads a whole file; every block must be well framed.
std::vector<Captured> read_pcapng(const std::vector<std::byte>& in) {
  std::vector<Captured> out;
  REQUIRE(word(in, 0) == 0x0a0d0d0a);
  std::size_t at = 0;
  while (at < in.size()) {
    const std::uint32_t type = word(in, at), length = word(in, at + 4);
    REQUIRE(length % 4 == 0);
    REQUIRE(at + length <= in.size());
    REQUIRE(word(in, at + length - 4) == length);
    if (type == 6) {
      Captured c;
      c.interface = word(in, at + 8);
      c.time_ns = (std::uint64_t{word(in, at + 12)} << 32U) | word(in, at + 16);
      const std::uint32_t bytes = word(in, at + 20);
      CHECK(word(in, at + 24) == bytes);
      const auto from = in.begin() + static_cast<std::ptrdiff_t>(at + 28);
      c.frame.assign(from, from + bytes);
      c.direction = word(in, at + 28 + ((bytes + 3) & ~3U) + 4);
      out.push_back(std::move(c));
    }
    at += length;
  }
  return out;
}

std::string output_of(const std::string& command) {
  std::string out;
  std::FILE* pipe = ::popen(command.c_str(), "r");
  REQUIRE(pipe != nullptr);
  std::array<char, 512> part;
  while (std::fgets(part.data(), part.size(), pipe) != nullptr) out += part.data();
  ::pclose(pipe);
  return out;
}

}  // namespace

TEST_CASE("a tap records both directions with time, interface and bytes", "[nic][pcap]") {
  TemporaryFile file;
  {
    auto sink = PcapSink::create(file.path, std::chrono::seconds{1'000});
    REQUIRE(sink);
    Pair net;
    PcapTap<SimNic> a(net.a, *sink, "host a"), b(net.b, *sink, "host b");
    REQUIRE(send(a, at_us(7), ethernet(mac_a, mac_b, 61, 1)));
    REQUIRE(receive(b, at_us(50)).size() == 1);
    REQUIRE(send(b, at_us(50), ethernet(mac_b, mac_a, 62, 2)));
    REQUIRE(receive(a, at_us(90)).size() == 1);
    CHECK(sink->counters().packets_written == 4);
  }
  const auto got = read_pcapng(file.content());
  REQUIRE(got.size() == 4);
  CHECK(got[0].interface == 0);
  CHECK(got[0].direction == 2);
  CHECK(got[0].time_ns == 1'000'000'007'000);
  CHECK(got[0].frame == ethernet(mac_a, mac_b, 61, 1));
  CHECK(got[1].interface == 1);
  CHECK(got[1].direction == 1);
  CHECK(got[1].frame == got[0].frame);
  CHECK(got[2].direction == 2);
  CHECK(got[3].direction == 1);
  CHECK(got[3].frame == ethernet(mac_b, mac_a, 62, 2));
}

TEST_CASE("frames that the NIC refused are not in the capture", "[nic][pcap]") {
  TemporaryFile file;
  SimPortOptions options;
  options.descriptors = 70;
  {
    auto sink = PcapSink::create(file.path);
    REQUIRE(sink);
    Pair net(1, options);
    PcapTap<SimNic> a(net.a, *sink, "a");
    std::array<Packet, 100> packets;
    REQUIRE(a.allocate(packets) == 100);
    for (std::uint32_t i = 0; i < 100; ++i) {
      const auto frame = ethernet(mac_a, mac_b, 64 + i, i);
      std::copy(frame.begin(), frame.end(), packets[i].storage().begin());
      packets[i].set_length(64 + i);
    }
    REQUIRE(a.tx_burst(start, packets) == 70);
    REQUIRE(a.tx_burst(at_us(1000), std::span{packets}.subspan(70)) == 30);
  }
  const auto got = read_pcapng(file.content());
  REQUIRE(got.size() == 100);
  for (std::uint32_t i = 0; i < 100; ++i) CHECK(got[i].frame == ethernet(mac_a, mac_b, 64 + i, i));
}

TEST_CASE("the decorators compose in one line", "[nic][pcap]") {
  TemporaryFile file;
  auto sink = PcapSink::create(file.path);
  REQUIRE(sink);
  Pair net;
  PcapTap<Lossy<SimNic>> nic(Lossy<SimNic>(net.a, 1), *sink, "a");
  LossyFaults faults;
  faults.drop_ppm = 1'000'000;
  nic.inner().set_tx(faults);
  REQUIRE(send(nic, start, ethernet(mac_a, mac_b)));
  CHECK(receive(net.b, at_us(100)).empty());
  CHECK(sink->counters().packets_written == 1);  // the tap stands where the stack stands
  CHECK(nic.next_event() == never);
}

TEST_CASE("tshark reads the capture and agrees", "[nic][pcap]") {
  if (std::system("command -v tshark > /dev/null 2>&1") != 0) {
    WARN("tshark is not installed: only our own reader checked the format");
    return;
  }
  TemporaryFile file;
  {
    auto sink = PcapSink::create(file.path, std::chrono::seconds{1'700'000'000});
    REQUIRE(sink);
    Pair net;
    PcapTap<SimNic> a(net.a, *sink, "proa0"), b(net.b, *sink, "proa1");
    REQUIRE(send(a, Instant{Duration{123'456'789}},
                 udp4(mac_a, mac_b, 0x0a000001, 0x0a000002, 50001, 50002)));
    REQUIRE(receive(b, Instant{Duration{223'456'789}}).size() == 1);
  }
  const std::string out = output_of("tshark -n -r " + file.path +
                                    " -T fields -E separator=, -e frame.time_epoch"
                                    " -e frame.interface_name -e frame.packet_flags_direction"
                                    " -e ip.src -e udp.dstport -e frame.len 2>/dev/null");
  CHECK(out ==
        "1700000000.123456789,proa0,0x00000002,10.0.0.1,50002,60\n"
        "1700000000.223456789,proa1,0x00000001,10.0.0.1,50002,60\n");
}

TEST_CASE("a reader that stops costs packets, never the framing, and is counted", "[nic][pcap]") {
  std::array<int, 2> ends{};
  REQUIRE(::pipe2(ends.data(), O_NONBLOCK | O_CLOEXEC) == 0);
  std::vector<std::byte> read_back;
  const auto drain = [&] {
    std::array<std::byte, 4096> part;
    for (ssize_t n; (n = ::read(ends[0], part.data(), part.size())) > 0;)
      read_back.insert(read_back.end(), part.begin(), part.begin() + n);
  };
  std::uint64_t written = 0;
  {
    PcapSink sink(ends[1], Duration::zero(), 1U << 17U);
    const auto interface = sink.add_interface("fifo", 1514);
    const auto frame = ethernet(mac_a, mac_b, 1001);
    for (int i = 0; i < 2000; ++i) {
      sink.add(at_us(i), interface, CaptureDirection::inbound, frame);
      sink.write_some();
    }
    CHECK(sink.counters().packets_lost > 1000);
    CHECK(sink.counters().packets_lost + sink.counters().packets_written == 2000);
    CHECK(sink.counters().write_errors == 0);
    drain();
    while (!sink.flush()) drain();
    drain();
    for (int i = 0; i < 10; ++i) sink.add(at_us(i), interface, CaptureDirection::inbound, frame);
    CHECK(sink.flush());
    written = sink.counters().packets_written;
  }
  drain();
  ::close(ends[0]);
  CHECK(read_pcapng(read_back).size() == written);
}

TEST_CASE("a full disk is counted and the stack goes on", "[nic][pcap]") {
  if (::access("/dev/full", W_OK) != 0) return;
  const int full = ::open("/dev/full", O_WRONLY | O_CLOEXEC);
  REQUIRE(full >= 0);
  PcapSink sink(full, Duration::zero(), 1U << 17U);
  const auto interface = sink.add_interface("full", 1514);
  for (int i = 0; i < 2000; ++i) {
    sink.add(at_us(i), interface, CaptureDirection::inbound, ethernet(mac_a, mac_b, 1000));
    sink.write_some();
  }
  CHECK(sink.counters().write_errors > 0);
  CHECK(sink.counters().write_errors < 50);  // no system call per packet
  CHECK(sink.counters().packets_lost > 1000);
  CHECK_FALSE(sink.flush());
}

TEST_CASE("a file that cannot be made is one sentence", "[nic][pcap]") {
  const auto sink = PcapSink::create("/nonexistent/dir/file.pcapng");
  REQUIRE_FALSE(sink);
  CHECK(sink.error() ==
        "cannot write the capture file /nonexistent/dir/file.pcapng: No such file or directory");
}
