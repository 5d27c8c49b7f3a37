// sidecar: values as JSON.
#pragma once
#include <string>
#include <string_view>

#include <fmt/format.h>

namespace proa::sidecar {

inline std::string json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (c < ' ' || c > '~')  // addresses and names; anything else need not survive
      out += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    else
      out += c;
  }
  return out + "\"";
}

template <class List, class Show>
std::string json_list(const List& list, Show&& show) {
  std::string out = "[";
  for (const auto& entry : list) {
    if (out.size() > 1) out += ",\n";
    out += show(entry);
  }
  out += ']';
  return out;
}

}  // namespace proa::sidecar
