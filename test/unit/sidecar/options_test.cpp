// sidecar: the command line describes a whole configuration and overrides a file.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <fstream>
#include <vector>

#include "../../../sidecar/options.hpp"

using namespace proa;
using namespace proa::sidecar;

namespace {

tl::expected<CommandLine, Instead> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "proad");
  return parse_command_line(static_cast<int>(arguments.size()), arguments.data());
}

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("options alone describe an interface") {
  const auto line = parse({"--nic", "none", "--address", "10.0.0.1/24", "--address", "10.0.1.1/24",
                           "--gateway", "10.0.0.254", "--idle", "spin", "--send-memory", "32 MiB",
                           "--flows", "100", "--ready-fd", "5"});
  REQUIRE(line);
  REQUIRE(line->config.interfaces.size() == 1);
  CHECK(line->config.interfaces[0].addresses.size() == 2);
  CHECK(line->config.interfaces[0].gateways.size() == 1);
  CHECK(line->config.engine.idle == IdleStrategy::spin);
  CHECK(line->config.engine.flows == 100);
  CHECK(line->config.applications.geometry.send_bytes == 32U << 20U);
  CHECK(line->ready_fd == 5);
}

TEST_CASE("an option overrides the file, for the first interface too") {
  const std::string file = "/tmp/proa-options-test-" + std::to_string(::getpid());
  std::ofstream{file} << "log_level='debug'\n[[interface]]\nnic='none'\naddresses='10.0.0.1/24'\n"
                         "mtu=2000\n";
  const auto line = parse({"--config", file.c_str(), "--log-level", "error", "--mtu", "4000"});
  ::unlink(file.c_str());
  REQUIRE(line);
  CHECK(line->config.log_level == LogLevel::error);
  REQUIRE(line->config.interfaces.size() == 1);
  CHECK(line->config.interfaces[0].mtu_bytes == 4000);
  CHECK(line->config.interfaces[0].nic == "none");
}

TEST_CASE("help shows every key with its default, a mistake is one sentence") {
  const auto help = parse({"--help"});
  REQUIRE_FALSE(help);
  CHECK(help.error().exit_code == 0);
  Config config;
  InterfaceConfig interface;
  for (const Key& key : keys()) {
    CHECK(contains(help.error().text, "--" + std::string{key.option}));
    CHECK(contains(help.error().text, "(default " + key.show({config, interface}) + ")"));
  }
  const auto says = [&](std::vector<const char*> arguments) {
    const auto line = parse(std::move(arguments));
    REQUIRE_FALSE(line);
    CHECK(line.error().exit_code == 2);
    return line.error().text;
  };
  CHECK(contains(says({"--flows", "some"}), "proad: --flows is some, expected a whole number"));
  CHECK(contains(says({"--spin-for", "3"}), "proad: --spin-for is 3, expected a duration"));
  CHECK(contains(says({"--flow", "3"}), "--help"));
  CHECK(contains(says({}), "no interface"));
  CHECK(contains(says({"--keepalive", "1 min", "--idle-limit", "30 s"}),
                 "proad: --idle-limit: keepalive is 1 min, expected less than idle_limit (30 s)"));
  CHECK(contains(says({"--config", "/nowhere.toml"}), "/nowhere.toml: cannot be read"));
}
