// sidecar: who may attach, whom proad becomes, and how much a user may take.
#include <catch2/catch.hpp>

#include <string>
#include <string_view>

#include "../../../sidecar/access.hpp"
#include "../../../sidecar/privileges.hpp"

using namespace proa;
using namespace proa::sidecar;

namespace {

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("who is not allowed may not attach") {
  auto config = parse_config("", "test.toml");
  REQUIRE(config);
  const auto admits = [&](std::uint32_t uid, std::uint32_t gid) {
    auto access = Access::make(*config, 1000);
    REQUIRE(access);
    return access->admit({1, uid, gid}, 1 << 20U).has_value();
  };
  CHECK(admits(0, 0));
  CHECK(admits(1000, 5));
  CHECK_FALSE(admits(1001, 5));
  config->control.allow_groups = {"5"};
  CHECK(admits(1001, 5));
  config->control.allow_users = {"1002"};
  CHECK(admits(1002, 6));
  CHECK_FALSE(admits(1003, 6));
  config->control.allow_users = {"*"};
  CHECK(admits(1003, 6));
  config->control.allow_users = {"nobody-of-that-name"};
  const auto unknown = Access::make(*config, 1000);
  REQUIRE_FALSE(unknown);
  CHECK(contains(unknown.error(), "there is no user nobody-of-that-name"));
}

TEST_CASE("who is named but not there is told with file and line") {
  const auto says = [](std::string_view toml) -> std::string {
    const auto config = parse_config(toml, "test.toml");
    REQUIRE(config);
    if (const auto user = whom_to_become(*config); !user) return user.error();
    const auto access = Access::make(*config, 1000);
    return access ? "" : access.error();
  };
  CHECK(says("user = 'root'\n[control]\nallow_users = ['root', 7]").empty());
  CHECK(
      contains(says("\nuser = 'no-such-one'"), "test.toml:2: user: there is no user no-such-one"));
  CHECK(contains(says("[control]\nallow_users = ['root', 'no-such-one']"),
                 "test.toml:2: allow_users: there is no user no-such-one, expected"));
  CHECK(contains(says("[control]\n\nallow_groups = 'no-such-ones'"),
                 "test.toml:3: allow_groups: there is no group no-such-ones, expected"));
}

TEST_CASE("a user's channels and memory are limited and come back") {
  auto config = parse_config(
      "[quotas]\nchannels_per_user = 2\nmemory_per_user = '10 MiB'\n[control]\nallow_users='*'",
      "test.toml");
  REQUIRE(config);
  auto access = Access::make(*config, 0);
  REQUIRE(access);
  const ControlPeer peer{1, 1000, 1000}, other{2, 1001, 1001};
  REQUIRE(access->admit(peer, 6 << 20U));
  const auto memory = access->admit(peer, 6 << 20U);
  REQUIRE_FALSE(memory);
  CHECK(contains(memory.error().sentence, "memory_per_user"));
  REQUIRE(access->admit(peer, 4 << 20U));
  CHECK_FALSE(access->admit(peer, 0));
  CHECK(access->admit(other, 6 << 20U));
  access->give_back(1000, 6 << 20U);
  CHECK(access->admit(peer, 6 << 20U));
}
