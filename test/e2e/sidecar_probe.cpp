// e2e: `proad --probe-nic` on the machine the tests run on, as root and as an ordinary user.
#include <catch2/catch.hpp>

#include "sidecar_support.hpp"

using namespace proa;
using namespace proa::e2e;

namespace {

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

/// What the shell prints; nothing on standard error, exit code 0.
std::string in_shell(const Scratch& scratch, const std::string& commands) {
  Program shell{"/bin/sh", {"-ec", commands}, scratch / "err"};
  const std::string output = shell.output();
  CHECK(shell.wait().value_or(-1) == 0);
  CHECK(shell.errors() == "");
  return output;
}

const std::string probe = std::string{PROAD_PATH} + " --probe-nic";

/// A network namespace of its own with a veth pair: `left` up, `right` down.
std::string with_veth(const std::string& command) {
  return "exec unshare --net --mount /bin/sh -ec 'mount -t sysfs none /sys\n"
         "ip link add left mtu 9000 type veth peer name right\nip link set left up\n" +
         command + "'";
}

}  // namespace

TEST_CASE("probing shows the machine and DPDK says nothing to the user") {
  const Scratch scratch;
  const std::string text = in_shell(scratch, probe);
  CHECK(contains(text, "machine: IOMMU "));
  CHECK(contains(text, "process: CAP_NET_RAW "));
  CHECK_FALSE(contains(text, "EAL"));
  // The JSON is JSON.
  CHECK(contains(in_shell(scratch, probe + " --json | python3 -m json.tool"), "\"devices\""));
}

TEST_CASE("probing names what a kernel interface lacks and how Proa would use it", "[root]") {
  const Scratch scratch;
  const std::string text = in_shell(scratch, with_veth(probe));
  CHECK(contains(text, "left: kernel interface\n  interface left: up"));
  CHECK(contains(text, "Proa would use: --nic af_xdp,interface=left,mtu=3000"));
  CHECK(contains(text, "can be used: --nic af_packet,interface=left,mtu=9000"));
  CHECK(contains(text, "af_xdp,interface=left,mtu=3000 (one engine)\n"));
  CHECK(contains(text, "af_packet,interface=left,mtu=9000 (1 to 16 engines)\n"));
  CHECK(contains(text, "missing: the interface right is down\n"));
  CHECK(contains(text, "remedy: ip link set right up\n"));
  // What it recommends is what proad takes.
  CHECK(contains(in_shell(scratch, with_veth("ip link set right up\n" + std::string{PROAD_PATH} +
                                             " --check /dev/null --nic "
                                             "af_packet,interface=left,mtu=9000 "
                                             "--address 10.0.0.1/24")),
                 "could use this configuration"));
}

TEST_CASE("an ordinary user is told which privileges are missing", "[root]") {
  const Scratch scratch;
  const std::string text =
      in_shell(scratch, with_veth("setpriv --reuid 65534 --regid 65534 --clear-groups " + probe));
  CHECK(contains(text, "CAP_NET_RAW no"));
  CHECK(contains(text, "missing: no CAP_NET_RAW\n"));
  CHECK(contains(text, "Proa would use: nothing yet"));
}

TEST_CASE("DPDK's own messages are in the log for who asks for them") {
  const Scratch scratch;
  Program proad{PROAD_PATH, {"--probe-nic", "--log-level", "debug"}, scratch / "err"};
  CHECK(proad.wait() == 0);
  CHECK(contains(proad.errors(), "proad: DPDK: EAL: "));
}
