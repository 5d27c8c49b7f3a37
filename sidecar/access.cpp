// sidecar: who may attach, and how much of the machine one user may take.
#include "access.hpp"

#include <grp.h>
#include <pwd.h>

#include <algorithm>
#include <charconv>
#include <optional>

#include <fmt/format.h>

#include "units_text.hpp"

namespace proa::sidecar {
namespace {

std::optional<std::uint32_t> as_number(const std::string& text) {
  std::uint32_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number;
}

bool contains(const std::vector<std::uint32_t>& list, std::uint32_t one) noexcept {
  return std::find(list.begin(), list.end(), one) != list.end();
}

}  // namespace

tl::expected<Access, std::string> Access::make(const Config& config, std::uint32_t own_uid) {
  const auto unknown = [&](std::string_view key, const std::string& name, std::string_view what) {
    return tl::unexpected{fmt::format("{}{}: there is no {} {}, expected names or numbers of {}s",
                                      config.where("control", {key}), key, what, name, what)};
  };
  Access access;
  access.quotas_ = config.quotas;
  access.users_ = {0, own_uid};
  for (const std::string& name : config.control.allow_users) {
    if (name == "*")
      access.everybody_ = true;
    else if (const auto number = as_number(name))
      access.users_.push_back(*number);
    else if (const passwd* user = ::getpwnam(name.c_str()))
      access.users_.push_back(user->pw_uid);
    else
      return unknown("allow_users", name, "user");
  }
  for (const std::string& name : config.control.allow_groups) {
    if (const auto number = as_number(name))
      access.groups_.push_back(*number);
    else if (const group* found = ::getgrnam(name.c_str()))
      access.groups_.push_back(found->gr_gid);
    else
      return unknown("allow_groups", name, "group");
  }
  return access;
}

bool Access::allowed(const ControlPeer& peer) const noexcept {
  return everybody_ || contains(users_, peer.uid) || contains(groups_, peer.gid);
}

tl::expected<void, AttachRefusal> Access::admit(const ControlPeer& peer,
                                                std::uint64_t memory_bytes) {
  const auto refuse = [](std::string sentence) {
    return tl::unexpected{AttachRefusal{Reason::not_permitted, std::move(sentence)}};
  };
  if (!allowed(peer))
    return refuse(fmt::format(
        "user {} may not attach; the operator can allow it (allow_users in proad's configuration)",
        peer.uid));
  Used& used = used_[peer.uid];
  if (used.channels >= quotas_.channels_per_user)
    return refuse(fmt::format("user {} has {} channels already (quota channels_per_user)", peer.uid,
                              used.channels));
  if (memory_bytes > quotas_.memory_per_user_bytes - used.memory_bytes)
    return refuse(fmt::format("another {} would exceed the {} of user {} (quota memory_per_user)",
                              bytes_text(memory_bytes), bytes_text(quotas_.memory_per_user_bytes),
                              peer.uid));
  ++used.channels;
  used.memory_bytes += memory_bytes;
  return {};
}

void Access::give_back(std::uint32_t uid, std::uint64_t memory_bytes) noexcept {
  const auto found = used_.find(uid);
  if (found == used_.end()) return;
  found->second.memory_bytes -= memory_bytes;
  if (--found->second.channels == 0) used_.erase(found);
}

}  // namespace proa::sidecar
