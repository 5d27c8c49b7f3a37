// L4: errors of the public interface: a reason with category and text, also a std::error_code.
#pragma once
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <type_traits>

#include <tl/expected.hpp>

#include <proa/base/reason.hpp>

namespace proa {

enum class ErrorCategory : std::uint8_t {
  refused,  // nothing happened; the caller still owns what it passed
  ended,    // the flow is over
};

/// Trivially copyable. `would_block` is the one that is no failure: a `writable` event follows.
class Error {
 public:
  constexpr Error(Reason reason) noexcept : reason_(reason) {}  // NOLINT: a reason is an error

  [[nodiscard]] constexpr Reason reason() const noexcept { return reason_; }
  [[nodiscard]] constexpr ErrorCategory category() const noexcept {
    return reason_ < Reason::closed_by_application ? ErrorCategory::refused : ErrorCategory::ended;
  }
  [[nodiscard]] constexpr std::string_view text() const noexcept { return proa::text(reason_); }
  [[nodiscard]] constexpr bool would_block() const noexcept {
    return reason_ == Reason::would_block;
  }
  operator std::error_code() const noexcept;  // NOLINT: the standard's own errors convert like this

  friend constexpr bool operator==(Error, Error) = default;

 private:
  Reason reason_;
};
static_assert(std::is_trivially_copyable_v<Error>);

/// The std::error_category of every Reason; `proa` by name.
[[nodiscard]] inline const std::error_category& error_category() noexcept {
  struct Category final : std::error_category {
    [[nodiscard]] const char* name() const noexcept override { return "proa"; }
    [[nodiscard]] std::string message(int value) const override {
      return std::string{text(static_cast<Reason>(value))};
    }
    [[nodiscard]] std::error_condition default_error_condition(int value) const noexcept override {
      switch (static_cast<Reason>(value)) {
        case Reason::would_block:
          return std::errc::operation_would_block;
        case Reason::message_too_large:
          return std::errc::message_size;
        case Reason::out_of_memory:
          return std::errc::not_enough_memory;
        case Reason::cannot_send:
          return std::errc::no_buffer_space;
        case Reason::port_in_use:
          return std::errc::address_in_use;
        case Reason::no_route:
        case Reason::peer_unreachable:
          return std::errc::host_unreachable;
        case Reason::timed_out:
        case Reason::handshake_timeout:
          return std::errc::timed_out;
        case Reason::connection_refused:
          return std::errc::connection_refused;
        case Reason::reset_by_peer:
          return std::errc::connection_reset;
        case Reason::invalid_argument:
          return std::errc::invalid_argument;
        case Reason::not_permitted:
          return std::errc::permission_denied;
        default:
          return {value, *this};
      }
    }
  };
  static const Category category;
  return category;
}

inline Error::operator std::error_code() const noexcept {
  return {static_cast<int>(reason_), error_category()};
}

template <class T>
using Result = tl::expected<T, Error>;

[[nodiscard]] inline tl::unexpected<Error> refused(Reason reason) noexcept {
  return tl::unexpected<Error>{Error{reason}};
}

/// Thrown only by constructors; what() is one sentence with the remedy.
class ConfigurationError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace proa
