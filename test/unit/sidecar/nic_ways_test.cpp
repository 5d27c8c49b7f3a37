// sidecar: machines nobody here has, as trees of files: what would be used, what is missing.
#include <catch2/catch.hpp>

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "../../../sidecar/config.hpp"
#include "../../../sidecar/nic_report.hpp"

using namespace proa;
using namespace proa::sidecar;

namespace fs = std::filesystem;

namespace {

/// A machine's /sys, /proc and /dev in a directory of its own.
class FakeMachine {
 public:
  FakeMachine() {
    static unsigned serial = 0;
    root_ = fs::temp_directory_path() /
            ("proa-machine-" + std::to_string(::getpid()) + "-" + std::to_string(serial++));
    capabilities("ffffffffffffffff");
  }
  FakeMachine(const FakeMachine&) = delete;
  FakeMachine& operator=(const FakeMachine&) = delete;
  ~FakeMachine() { fs::remove_all(root_); }

  void file(const std::string& name, const std::string& text) const {
    fs::create_directories((root_ / name).parent_path());
    std::ofstream{root_ / name} << text << '\n';
  }
  void capabilities(const std::string& hex) const {
    file("proc/self/status", "Name:\tproad\nCapEff:\t" + hex);
  }
  /// `below`: a directory of the device, "" for none of its own.
  void interface(const std::string& name, const std::string& below = "", bool up = true,
                 const std::string& mtu = "1500") const {
    const std::string at = "sys/class/net/" + name + "/";
    file(at + "type", "1");
    file(at + "flags", up ? "0x1003" : "0x1002");
    file(at + "carrier", up ? "1" : "0");
    file(at + "mtu", mtu);
    file(at + "queues/rx-0/x", "");
    file(at + "queues/rx-1/x", "");
    file(at + "queues/tx-0/x", "");
    if (!below.empty()) fs::create_directories(root_ / below / "net" / name);
  }
  std::string pci(const std::string& address, const std::string& vendor, const std::string& model,
                  const std::string& driver) const {
    const std::string at = "sys/bus/pci/devices/" + address;
    file(at + "/class", "0x020000");
    file(at + "/vendor", "0x" + vendor);
    file(at + "/device", "0x" + model);
    if (!driver.empty()) fs::create_symlink("../drivers/" + driver, root_ / at / "driver");
    return at;
  }
  std::string vmbus(const std::string& uuid, const std::string& driver) const {
    const std::string at = "sys/bus/vmbus/devices/" + uuid;
    file(at + "/class_id", "{f8615163-df3e-46c5-913f-f2d2f965ed0e}");
    fs::create_symlink("../drivers/" + driver, root_ / at / "driver");
    return at;
  }
  void link(const std::string& target, const std::string& name) const {
    fs::create_symlink(target, root_ / name);
  }

  [[nodiscard]] std::vector<NicChoice> choices(const std::string& not_installed = "") const {
    const MachineFiles files{root_};
    return nic_choices(files.devices(),
                       {files.facts(),
                        [=](const std::string& driver) -> std::string {
                          return driver == not_installed ? "apt install " + driver : "";
                        },
                        [&](const NetworkDevice& one) { return files.may_open_vfio(one); },
                        [](const std::string&) -> std::uint32_t { return 2; }});
  }
  [[nodiscard]] MachineFacts facts() const { return MachineFiles{root_}.facts(); }

 private:
  fs::path root_;
};

bool lacks(const NicWay& way, const std::string& part) {
  for (const Shortfall& one : way.missing)
    if (one.what.find(part) != std::string::npos) return !one.remedy.empty();
  return false;
}

}  // namespace

TEST_CASE("an ENA bound to the kernel says what it takes to give it to DPDK") {
  const FakeMachine machine;
  machine.interface("ens6", machine.pci("0000:00:06.0", "1d0f", "ec20", "ena"));
  const auto choices = machine.choices("net_ena");
  REQUIRE(choices.size() == 1);
  const NicChoice& ena = choices[0];
  CHECK(ena.name == "Amazon ENA");
  CHECK(ena.dpdk_driver == "net_ena");
  REQUIRE(ena.ways.size() == 3);
  const NicWay& pci = ena.ways[0];
  CHECK(pci.nic == "pci,hugepages=yes,address=0000:00:06.0");
  CHECK(lacks(pci, "bound to the kernel's driver ena (interface ens6)"));
  CHECK(lacks(pci, "vfio-pci is not loaded"));
  CHECK(lacks(pci, "no IOMMU"));
  CHECK(lacks(pci, "no free hugepages"));
  CHECK(lacks(pci, "net_ena is not installed"));
  REQUIRE(pci.remarks.size() == 1);
  CHECK(pci.remarks[0].find("write-combining") != std::string::npos);
  REQUIRE(ena.best() != nullptr);
  CHECK(ena.best()->nic == "af_xdp,interface=ens6");
}

TEST_CASE("an ENA that has everything is used through DPDK") {
  const FakeMachine machine;
  const std::string at = machine.pci("0000:00:06.0", "1d0f", "ec20", "vfio-pci");
  machine.link("../../../kernel/iommu_groups/7", at + "/iommu_group");
  machine.file("sys/class/iommu/dmar0/x", "");
  machine.file("sys/module/vfio_pci/x", "");
  machine.file("dev/vfio/7", "");
  machine.file("proc/meminfo", "MemTotal: 1 kB\nHugePages_Free:      256");
  const auto choices = machine.choices();
  REQUIRE(choices.size() == 1);
  REQUIRE(choices[0].best() != nullptr);
  CHECK(choices[0].best()->nic == "pci,address=0000:00:06.0");
  CHECK(given_to_dpdk(choices[0].device));
  CHECK(machine.facts().hugepages_free == 256);
}

TEST_CASE("a vfio group of somebody else's is missing, with its file's name") {
  const FakeMachine machine;
  const std::string at = machine.pci("0000:00:06.0", "1ae0", "0042", "vfio-pci");
  machine.link("../../../kernel/iommu_groups/9", at + "/iommu_group");
  machine.file("sys/class/iommu/dmar0/x", "");
  machine.file("sys/module/vfio_pci/x", "");
  const auto choices = machine.choices();
  REQUIRE(choices.size() == 1);
  CHECK(choices[0].name == "Google gVNIC");
  CHECK(lacks(choices[0].ways[0], "may not open /dev/vfio/9"));
}

TEST_CASE("nobody is told to take away the NIC that carries the default route") {
  const FakeMachine machine;
  const std::string at = machine.pci("0000:00:03.0", "1af4", "1041", "virtio-pci");
  machine.interface("eth0", at + "/virtio2", true, "1400");
  machine.file("proc/net/route", "Iface\tDestination\tGateway\neth0\t00000000\t0100000A");
  const auto choices = machine.choices();
  REQUIRE(choices.size() == 1);
  REQUIRE(choices[0].device.interfaces.size() == 1);
  CHECK(choices[0].device.interfaces[0].rx_queues == 2);
  CHECK(choices[0].ways[0].missing[0].remedy.find("attach a second NIC") != std::string::npos);
  CHECK(lacks(choices[0].ways[1], "default route"));
  REQUIRE(choices[0].best() != nullptr);
  CHECK(choices[0].best()->nic == "af_packet,interface=eth0,mtu=1400");
}

TEST_CASE("Azure: the synthetic device goes to uio_hv_generic, the VF stays with its driver") {
  const FakeMachine machine;
  machine.interface("enP1", machine.pci("0001:00:02.0", "15b3", "1016", "mlx5_core"));
  machine.interface("eth1", machine.vmbus("000d3a6e-4f7b", "hv_netvsc"));
  machine.file("dev/infiniband/uverbs0", "");
  machine.file("proc/meminfo", "HugePages_Free: 1");
  const auto choices = machine.choices();
  REQUIRE(choices.size() == 2);
  CHECK(choices[0].dpdk_driver == "net_mlx5");
  REQUIRE(choices[0].best() != nullptr);
  CHECK(choices[0].best()->nic == "pci,address=0001:00:02.0");
  CHECK(given_to_dpdk(choices[0].device));
  CHECK(choices[1].dpdk_driver == "net_netvsc");
  CHECK(lacks(choices[1].ways[0], "hv_netvsc"));
  CHECK(choices[1].ways[0].missing[0].remedy.find("uio_hv_generic") != std::string::npos);
  CHECK_FALSE(given_to_dpdk(choices[1].device));
}

TEST_CASE("without privileges and with the interface down every way says so") {
  const FakeMachine machine;
  machine.capabilities("0000000000000000");
  machine.interface("eth7", "", false);
  const auto choices = machine.choices("net_af_packet");
  REQUIRE(choices.size() == 1);
  CHECK(choices[0].best() == nullptr);
  for (const NicWay& way : choices[0].ways) {
    CHECK(lacks(way, "eth7 is down"));
    CHECK(lacks(way, "CAP_NET_RAW"));
  }
  CHECK(lacks(choices[0].ways[0], "CAP_NET_ADMIN"));
  CHECK(lacks(choices[0].ways[1], "net_af_packet is not installed"));
}

TEST_CASE("the report shows a port DPDK sees with its device, as a table and as JSON") {
  const FakeMachine machine;
  machine.pci("0000:00:06.0", "1d0f", "ec20", "vfio-pci");
  NicReport report;
  report.facts = machine.facts();
  report.choices = machine.choices();
  const std::string unseen = nic_report_text(report);
  CHECK(unseen.find("DPDK does not see it") != std::string::npos);
  report.ports.push_back({.device = "0000:00:06.0",
                          .driver = "net_ena",
                          .mac = {},
                          .queue_pairs_max = 8,
                          .descriptors_min = 128,
                          .descriptors_max = 1024,
                          .mtu = 1500,
                          .link_up = true,
                          .link_mbit = 10'000,
                          .offloads = {"tx UDP_CKSUM"},
                          .remark = "unproven"});
  const std::string text = nic_report_text(report);
  CHECK(
      text.find("up to 8 queue pairs, 128 to 1024 descriptors, mtu 1500, link up, 10000 Mbit/s") !=
      std::string::npos);
  CHECK(text.find("tx UDP_CKSUM") != std::string::npos);
  CHECK(text.find("does not see it") == std::string::npos);
  const std::string json = nic_report_json(report);
  CHECK(json.find("\"queue_pairs_max\":8") != std::string::npos);
  CHECK(json.find("\"would_use\":null") != std::string::npos);
}

TEST_CASE("the report says how many engines each way has queue pairs for") {
  const FakeMachine machine;
  machine.interface("ens6", machine.pci("0000:00:06.0", "1d0f", "ec20", "ena"));
  NicReport report;
  report.facts = machine.facts();
  report.choices = machine.choices();
  const auto says = [&](const std::string& part) {
    INFO(part);
    CHECK(nic_report_text(report).find(part) != std::string::npos);
  };
  says("address=0000:00:06.0 (as many engines as its driver has queue pairs)\n");
  says("--nic af_xdp,interface=ens6 (1 to 2 engines)\n");
  says("--nic af_packet,interface=ens6 (1 to 16 engines)\n");
  CHECK(nic_report_json(report).find("\"engines_max\":null") != std::string::npos);
  DpdkSeenPort& port = report.ports.emplace_back();
  port.device = "0000:00:06.0";
  port.queue_pairs_max = 8;
  says("address=0000:00:06.0 (1 to 8 engines)\n");
  CHECK(nic_report_json(report).find("\"engines_max\":8") != std::string::npos);
  port.queue_pairs_max = 32;
  says("address=0000:00:06.0 (1 to 16 engines)\n");
  port.queue_pairs_max = 1;
  says("address=0000:00:06.0 (one engine)\n");
}

TEST_CASE("a PCI device that is no network device, and one nobody knows, are no ways to anywhere") {
  const FakeMachine machine;
  const std::string disk = machine.pci("0000:00:02.0", "1af4", "1042", "virtio-pci");
  machine.file(disk + "/class", "0x018000");
  machine.pci("0000:00:09.0", "beef", "0001", "");
  const auto choices = machine.choices();
  REQUIRE(choices.size() == 1);
  CHECK(choices[0].name == "PCI beef:0001");
  CHECK(choices[0].ways.empty());
}

TEST_CASE("the example configurations for clouds are configurations") {
  const fs::path clouds = fs::path{PROA_SOURCE} / "sidecar/share/clouds";
  std::size_t count = 0;
  for (const auto& entry : fs::directory_iterator{clouds}) {
    if (entry.path().extension() != ".toml") continue;
    ++count;
    INFO(entry.path());
    const auto config = load_config(entry.path());
    if (!config) FAIL(config.error());
    const auto checked = check_config(*config);
    if (!checked) FAIL(checked.error());
    // Its document tells the rest.
    const std::string cloud = entry.path().stem().string();
    CHECK(fs::exists(clouds / (cloud.substr(0, cloud.find('-')) + ".md")));
  }
  CHECK(count == 4);
}
