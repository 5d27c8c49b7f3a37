// sidecar: the configuration file says what is wrong, where, and what was expected.
#include <catch2/catch.hpp>

#include <string>

#include "../../../sidecar/config.hpp"
#include "../../../sidecar/interface_setup.hpp"
#include "../../../sidecar/units_text.hpp"

using namespace proa;
using namespace proa::sidecar;
using namespace std::chrono_literals;

namespace {

std::string complaint(std::string_view toml) {
  const auto config = parse_config(toml, "p.toml");
  return config ? "" : config.error();
}

bool starts_with(const std::string& text, std::string_view start) {
  return text.compare(0, start.size(), start) == 0;
}

}  // namespace

TEST_CASE("an empty configuration is the default and lacks an interface") {
  const auto config = parse_config("", "p.toml");
  REQUIRE(config);
  CHECK(config->interfaces.empty());
  CHECK(config->applications.linger == 1s);
  const auto checked = check_config(*config);
  REQUIRE_FALSE(checked);
  CHECK(starts_with(checked.error(), "no interface: expected"));
}

TEST_CASE("every kind of key is read") {
  const auto config = parse_config(R"(
log_level = "debug"
[control]
socket = "/tmp/s"
allow_users = ["alice", 1001]
[applications]
send_memory = "32 MiB"
linger = "250 ms"
[quotas]
channels_per_user = 3
[engine]
idle = "sleep"
[[interface]]
nic = "memif,role=server"
addresses = ["10.0.0.1/24", "10.0.1.1/24"]
gateway = "10.0.0.254"
routes = ["10.2.0.0/16 via 10.0.0.3", "10.3.0.0/16"]
udp_ports = "50000-50999"
cores = [1]
mtu = 9000
[[interface]]
nic = "af_packet,interface=eth1"
addresses = "192.168.0.1/24"
)",
                                   "p.toml");
  REQUIRE(config);
  CHECK(config->log_level == LogLevel::debug);
  CHECK(config->control.socket == "/tmp/s");
  CHECK(config->control.allow_users == std::vector<std::string>{"alice", "1001"});
  CHECK(config->applications.geometry.send_bytes == 32U << 20U);
  CHECK(config->applications.linger == 250ms);
  CHECK(config->quotas.channels_per_user == 3);
  CHECK(config->engine.idle == IdleStrategy::sleep);
  REQUIRE(config->interfaces.size() == 2);
  const InterfaceConfig& one = config->interfaces[0];
  CHECK(one.addresses.size() == 2);
  CHECK(one.gateways == std::vector{IpAddress::v4(10, 0, 0, 254)});
  REQUIRE(one.routes.size() == 2);
  CHECK(one.routes[0].gateway == IpAddress::v4(10, 0, 0, 3));
  CHECK_FALSE(one.routes[1].gateway);
  CHECK(one.udp_port_first == 50'000);
  CHECK(one.udp_port_last == 50'999);
  CHECK(one.cores == std::vector<std::uint32_t>{1});
  CHECK(one.mtu_bytes == 9000);
  CHECK(one.where == "p.toml:13");
  CHECK(check_config(*config));
}

TEST_CASE("a mistake is named with file, line and what was expected") {
  CHECK(starts_with(complaint("\nlog_level = \"loud\"\n"),
                    "p.toml:2: log_level is 'loud', expected one of \"error\""));
  CHECK(starts_with(complaint("[engine]\nflows = 0\n"),
                    "p.toml:2: flows is 0, expected a whole number from 1"));
  CHECK(starts_with(complaint("[engine]\nflows = \"many\"\n"), "p.toml:2: flows is 'many'"));
  CHECK(starts_with(complaint("[engine]\nspin_for = \"10\"\n"),
                    "p.toml:2: spin_for is '10', expected a duration"));
  CHECK(starts_with(complaint("[applications]\nsend_memory = \"1 MB\"\n"),
                    "p.toml:2: send_memory is '1 MB', expected a size"));
  CHECK(starts_with(complaint("[applications]\nsend_memory = 1048576\n"),
                    "p.toml:2: send_memory is 1048576, expected a size"));
  CHECK(starts_with(complaint("[applications]\nsend_memory = \"1025 KiB\"\n"),
                    "p.toml:2: send_memory is '1025 KiB', expected a multiple of 64 KiB"));
  CHECK(starts_with(complaint("[applications]\nevent_slots = 100\n"),
                    "p.toml:2: event_slots is 100, expected a power of two from 64 to 65536"));
  CHECK(starts_with(complaint("[engine]\nspeed = 1\n"),
                    "p.toml:2: unknown key speed in [engine], expected one of idle"));
  CHECK(starts_with(complaint("\n\n[engines]\n"),
                    "p.toml:3: unknown section [engines], expected one of [control]"));
  CHECK(starts_with(complaint("colour = 1\n"), "p.toml:1: unknown key colour, expected one of"));
  CHECK(starts_with(complaint("[interface]\nnic = \"x\"\n"),
                    "p.toml:1: interface is a list of tables, expected [[interface]]"));
  CHECK(starts_with(complaint("[[interface]]\naddresses = [\"10.0.0.256/24\"]\n"),
                    "p.toml:2: addresses is "));
  CHECK(starts_with(complaint("[[interface]]\nudp_ports = \"9-3\"\n"), "p.toml:2: udp_ports is"));
  CHECK(starts_with(complaint("[[interface]]\nmtu = 100\n"), "p.toml:2: mtu is 100, expected"));
  CHECK(starts_with(complaint("a = \n"), "p.toml:1: "));
  CHECK(starts_with(complaint("engine = 3\n"), "p.toml:1: unknown key engine"));
}

TEST_CASE("what single keys cannot say is checked as a whole") {
  const auto says = [](std::string_view toml) {
    const auto config = parse_config(toml, "p.toml");
    REQUIRE(config);
    const auto checked = check_config(*config);
    return checked ? std::string{} : checked.error();
  };
  CHECK(starts_with(says("\n[[interface]]\nname=\"a\"\n"), "p.toml:2: interface without nic"));
  CHECK(starts_with(says("[[interface]]\nnic=\"memif\"\n"), "p.toml:1: interface without address"));
  CHECK(starts_with(says("[applications]\nsend_memory=\"8 MiB\"\n"),
                    "p.toml:2: message_max is 8 MiB, expected at most half of "
                    "send_memory (8 MiB)"));
  CHECK(starts_with(says("[applications]\n\nmessage_max=\"64 MiB\"\n"),
                    "p.toml:3: message_max is 64 MiB"));
  CHECK(starts_with(says("[transport]\nkeepalive=\"1 h\"\n"),
                    "p.toml:2: keepalive is 1 h, expected less than idle_limit"));
  CHECK(starts_with(says("[transport]\nkeepalive=\"10 s\"\nidle_limit=\"1 s\"\n"),
                    "p.toml:2: keepalive is 10 s, expected less than idle_limit (1 s)"));
  CHECK(says("[transport]\nidle_limit=\"1 s\"\n").find("keepalive") == std::string::npos);
}

TEST_CASE("the printed default configuration reads back as the default") {
  const std::string text = default_config_text();
  const auto config = parse_config(text, "default.toml");
  REQUIRE(config);
  CHECK(config->interfaces.empty());
  CHECK(config->control.socket == Config{}.control.socket);
  CHECK(config->applications.geometry == ChannelGeometry{});
  CHECK(config->engine.spin_for == Config{}.engine.spin_for);
  for (const Key& key : keys()) CHECK(text.find(std::string{key.name} + " = ") != text.npos);
}

TEST_CASE("keys and options have unique names") {
  const auto all = keys();
  for (std::size_t i = 0; i < all.size(); ++i)
    for (std::size_t j = 0; j < i; ++j) {
      CHECK(all[i].option != all[j].option);
      CHECK_FALSE((all[i].section == all[j].section && all[i].name == all[j].name));
    }
}

TEST_CASE("sizes and durations are whole numbers with a unit") {
  CHECK(parse_bytes("64 MiB") == 64U << 20U);
  CHECK(parse_bytes("64MiB") == 64U << 20U);
  CHECK(parse_bytes("1500 B") == 1500U);
  for (const char* bad : {"", "64", "MiB", "-1 B", "1.5 GiB", "1 MB", "99999999999 GiB", "1 MiBs"})
    CHECK_FALSE(parse_bytes(bad));
  CHECK(bytes_text(64U << 20U) == "64 MiB");
  CHECK(bytes_text(1500) == "1500 B");
  CHECK(bytes_text(0) == "0 B");
  CHECK(parse_duration("10 s") == 10s);
  CHECK(parse_duration("250us") == 250us);
  CHECK(parse_duration("2 min") == 2min);
  for (const char* bad : {"", "10", "s", "1 day", "-5 s", "9999999999999 h"})
    CHECK_FALSE(parse_duration(bad));
  CHECK(duration_text(1500ms) == "1500 ms");
  CHECK(duration_text(90s) == "90 s");
}

TEST_CASE("An interface of both families, on a VLAN, is read and planned") {
  const auto config = parse_config(R"(
[[interface]]
nic = "none"
addresses = ["10.0.0.1/32", "2001:db8::1/128"]
gateway = ["10.0.0.254", "fe80::1"]
routes = ["fd00:9::/48 via fe80::2"]
vlan = 100
detect_duplicates = "off"
)",
                                   "six.toml");
  REQUIRE(config);
  const InterfaceConfig& one = config->interfaces[0];
  CHECK(one.vlan == 100);
  CHECK_FALSE(one.detect_duplicates);
  const InterfaceOptions options = interface_options(one, MacAddress{{2, 0, 0, 0, 0, 1}}, 1500);
  CHECK(options.vlan == 100);
  CHECK_FALSE(options.detect_duplicates);
  const auto plan = InterfacePlan::make(options);
  REQUIRE(plan);
  CHECK(plan->next_hop(*parse_ip("10.0.0.2")) == *parse_ip("10.0.0.254"));
  CHECK(plan->next_hop(*parse_ip("2001:db8::2")) == *parse_ip("fe80::1"));
  CHECK(plan->next_hop(*parse_ip("fd00:9::2")) == *parse_ip("fe80::2"));

  const auto refused = [](const std::string& line) {
    const auto wrong = parse_config("[[interface]]\n" + line + "\n", "x.toml");
    return wrong ? std::string{"accepted"} : wrong.error();
  };
  CHECK(refused("vlan = 4095").find("0 to 4094") != std::string::npos);
  CHECK(refused("gateway = \"nobody\"").find("fe80::1") != std::string::npos);
  CHECK(refused("detect_duplicates = \"maybe\"").find("\"off\", \"on\"") != std::string::npos);
  const auto two = InterfacePlan::make(
      interface_options(parse_config("[[interface]]\naddresses = [\"10.0.0.1/24\"]\n"
                                     "gateway = [\"10.0.0.2\", \"10.0.0.3\"]\n",
                                     "x.toml")
                            ->interfaces[0],
                        MacAddress{{2, 0, 0, 0, 0, 1}}, 1500));
  REQUIRE_FALSE(two);
  CHECK(two.error().find("given twice") != std::string::npos);
}

TEST_CASE("Two interfaces with one address are refused") {
  const auto both = [](const std::string& second) {
    const auto config = parse_config(
        "[[interface]]\nnic = \"none\"\naddresses = [\"10.0.0.1/24\", \"fd00::1/64\"]\n"
        "[[interface]]\nnic = \"none\"\naddresses = [\"" +
            second + "\"]\n",
        "two.toml");
    REQUIRE(config);
    const auto checked = check_config(*config);
    return checked ? std::string{} : checked.error();
  };
  CHECK(both("10.0.0.2/24").empty());
  CHECK(both("10.0.0.1/16").find("10.0.0.1 is another interface's too") != std::string::npos);
  CHECK(both("fd00::1/128").find("two.toml:4") == 0);
}
