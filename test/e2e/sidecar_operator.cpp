// e2e: what an operator gets to see: refusals with a sentence, status, quotas, an idle sidecar.
#include <catch2/catch.hpp>

#include <algorithm>
#include <array>
#include <fstream>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

struct Outcome {
  int code = -1;
  std::string output, errors;
};

Outcome run_proad(const Scratch& scratch, const Arguments& arguments) {
  Program program{PROAD_PATH, arguments, scratch / "err"};
  Outcome out;
  out.output = program.output();
  out.code = program.wait().value_or(-1);
  out.errors = program.errors();
  return out;
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// User and system time, in clock ticks.
std::int64_t cpu_ticks(pid_t pid) {
  const std::string stat = read_file("/proc/" + std::to_string(pid) + "/stat");
  std::istringstream rest{stat.substr(stat.rfind(')') + 2)};
  std::string skipped;
  std::int64_t user = 0, system = 0;
  for (int field = 3; field < 14; ++field) rest >> skipped;
  rest >> user >> system;
  return user + system;
}

}  // namespace

TEST_CASE("proad refuses what it cannot use in one sentence") {
  const Scratch scratch;
  const std::string file = scratch / "p.toml";
  const auto check = [&](const std::string& toml) {
    std::ofstream{file} << toml;
    return run_proad(scratch, {"--check", file});
  };
  const Outcome good =
      check("[[interface]]\nnic=\"af_packet,interface=eth1\"\naddresses=\"10.0.0.1/24\"\n");
  CHECK(good.code == 0);
  const Outcome typo = check("[engine]\nidel = \"spin\"\n");
  CHECK(typo.code == 2);
  CHECK(contains(typo.errors, file + ":2: unknown key idel in [engine], expected one of idle"));
  const Outcome driver = check("[[interface]]\nnic=\"hovercraft\"\naddresses=\"10.0.0.1/24\"\n");
  CHECK(driver.code == 2);
  CHECK(contains(driver.errors, file + ":1: nic: "));
  const Outcome gateway =
      check("[[interface]]\nnic=\"memif\"\naddresses=\"10.0.0.1/24\"\ngateway=\"10.9.0.1\"\n");
  CHECK(gateway.code == 2);
  CHECK(contains(gateway.errors, "gateway"));
  const Outcome stranger = check("user = \"no-such-one\"\n[[interface]]\nnic=\"none\"\n" +
                                 std::string{"addresses=\"10.0.0.1/24\"\n"});
  CHECK(stranger.code == 2);
  CHECK(contains(stranger.errors, file + ":1: user: there is no user no-such-one"));
  CHECK(run_proad(scratch, {"--mtu", "many"}).code == 2);
  CHECK(run_proad(scratch, {"--sped", "1"}).code == 2);
  const Outcome nothing = run_proad(scratch, {});
  CHECK(nothing.code == 2);
  CHECK(contains(nothing.errors, "--nic"));
  CHECK(run_proad(scratch, {"--help"}).code == 0);
  CHECK(contains(run_proad(scratch, {"--print-default-config"}).output, "[quotas]"));
}

TEST_CASE("Status shows interfaces, engines, channels and counters; a second proad is refused") {
  const Hosts hosts{{"--channels-per-user", "2"}};
  Net one = attach(hosts.socket(0), "one");
  Net two = attach(hosts.socket(0), "two");
  const auto third = Net::open(*Sidecar::Options::parse("socket=" + hosts.socket(0)));
  REQUIRE_FALSE(third);
  CHECK(contains(third.error(), "channels_per_user"));

  const std::string text =
      run_proa({"status", "--socket", hosts.socket(0)}, hosts.scratch).output();
  CHECK(contains(text, "net_memif"));
  CHECK(contains(text, "10.77.0.1/24"));
  CHECK(contains(text, "one"));
  CHECK(contains(text, "serving"));
  const std::string all =
      run_proa({"status", "--all", "--socket", hosts.socket(0)}, hosts.scratch).output();
  CHECK(contains(all, "bad_checksum=0"));

  const Outcome again =
      run_proad(hosts.scratch, {"--nic", "memif,role=server,socket=" + (hosts.scratch / "other"),
                                "--address", "10.0.0.1/24", "--socket", hosts.socket(0)});
  CHECK(again.code == 1);
  CHECK(contains(again.errors, "already"));
  Program nobody = run_proa({"status", "--socket", hosts.scratch / "none"}, hosts.scratch);
  CHECK(nobody.wait() == 1);
}

TEST_CASE("An idle sidecar with an idle application costs at most one percent of a core") {
  const Hosts hosts;
  const ChildProcess server = echo_server(hosts.socket(1), 7000);
  Net net = attach(hosts.socket(0), "client");
  const auto flow = net.connect(Hosts::at(1, 7000), patience);
  REQUIRE(flow);
  REQUIRE(echoes(net, *flow, 100, 1));
  static_cast<void>(net.wait(200ms));
  std::array<std::int64_t, 5> used{};  // a time when somebody else disturbs says nothing
  for (std::int64_t& of_one : used) {
    const std::int64_t before = cpu_ticks(hosts.a.pid()) + cpu_ticks(hosts.b.pid());
    static_cast<void>(net.wait(2s));
    of_one = cpu_ticks(hosts.a.pid()) + cpu_ticks(hosts.b.pid()) - before;
  }
  CAPTURE(used);
  std::sort(used.begin(), used.end());
  // Two sidecars, 2 s, 1 %: four ticks of 10 ms.
  CHECK(used[used.size() / 2] <= 4 * ::sysconf(_SC_CLK_TCK) / 100);
  CHECK(echoes(net, *flow, 100, 2));
}
