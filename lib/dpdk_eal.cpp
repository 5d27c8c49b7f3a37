// lib: DPDK's environment (EAL): started once per process, quiet, and leaving the caller's thread
// as it was.
#include <dlfcn.h>
#include <pthread.h>
#include <rte_eal.h>
#include <rte_errno.h>
#include <rte_log.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <mutex>

#include "dpdk_internal.hpp"

namespace proa::detail {
namespace {

/// DPDK's messages: to the operator's file or callback, and the last complaint kept for sentences.
class LogSink {
 public:
  void direct(const std::string& file, std::function<void(std::string_view)> callback) {
    if (!file.empty()) file_ = std::fopen(file.c_str(), "ae");
    callback_ = std::move(callback);
    static constexpr cookie_io_functions_t functions{
        nullptr,
        [](void* self, const char* text, std::size_t size) -> ssize_t {
          static_cast<LogSink*>(self)->take({text, size});
          return static_cast<ssize_t>(size);
        },
        nullptr, nullptr};
    stream_ = ::fopencookie(this, "w", functions);
    if (stream_ == nullptr) return;
    std::setvbuf(stream_, nullptr, _IOLBF, 0);
    rte_openlog_stream(stream_);
  }
  /// A message that did not come through DPDK's own log.
  void take_foreign(std::string_view text) {
    const std::lock_guard lock{mutex_};
    split(text);
  }
  [[nodiscard]] std::string complaint() {
    const std::lock_guard lock{mutex_};
    return complaint_;
  }
  void forget() {
    const std::lock_guard lock{mutex_};
    complaint_.clear();
  }

 private:
  void take(std::string_view text) {
    const std::lock_guard lock{mutex_};
    const int level = rte_log_cur_msg_loglevel();
    const auto last = split(text);
    // memif always complains about a feature of DPDK that is off here.
    if (level > 0 && level <= static_cast<int>(RTE_LOG_ERR) && last.find("mp action") == last.npos)
      complaint_ = last;
  }
  std::string_view split(std::string_view text) {
    if (file_ != nullptr) {
      std::fwrite(text.data(), 1, text.size(), file_);
      std::fflush(file_);
    }
    std::string_view last;
    while (!text.empty()) {
      const auto end = std::min(text.find('\n'), text.size());
      if (end > 0) last = text.substr(0, end);
      if (end > 0 && callback_) callback_(last);
      text.remove_prefix(std::min(end + 1, text.size()));
    }
    return last;
  }

  std::mutex mutex_;
  std::string complaint_;
  std::function<void(std::string_view)> callback_;
  std::FILE* file_ = nullptr;
  std::FILE* stream_ = nullptr;
};

/// Never destroyed: DPDK's own threads log until the process is gone.
LogSink& log_sink() {
  static auto* sink = new LogSink;
  return *sink;
}

/// DPDK pins the thread that starts it and leaves it so; the caller's thread gets its cores back.
class KeepAffinity {
 public:
  KeepAffinity() { saved_ = ::pthread_getaffinity_np(::pthread_self(), sizeof set_, &set_) == 0; }
  ~KeepAffinity() {
    if (saved_) ::pthread_setaffinity_np(::pthread_self(), sizeof set_, &set_);
  }
  KeepAffinity(const KeepAffinity&) = delete;
  KeepAffinity& operator=(const KeepAffinity&) = delete;

  /// The one DPDK core may run wherever this thread may: "0@(0,1,5)".
  [[nodiscard]] std::string lcores() const {
    std::string text = "0@(";
    for (unsigned cpu = 0; saved_ && cpu < RTE_MAX_LCORE; ++cpu)
      if (CPU_ISSET(cpu, &set_)) text += std::to_string(cpu) + ",";
    if (text.back() != ',') return "0@(0)";
    text.back() = ')';
    return text;
  }

 private:
  cpu_set_t set_{};
  bool saved_ = false;
};

std::vector<std::string> eal_arguments(const DpdkOptions& options, std::size_t bytes,
                                       const std::string& lcores) {
  const std::size_t mib =
      options.memory_mib != 0 ? options.memory_mib : 48 + 2 * ((bytes >> 20U) + 1);
  std::vector<std::string> arguments{"proa",
                                     "--lcores",
                                     lcores,
                                     "-m",
                                     std::to_string(mib),
                                     "--file-prefix",
                                     "proa" + std::to_string(::getpid()),
                                     "--no-shconf",
                                     "--no-telemetry"};
  if (options.hugepages)
    arguments.insert(arguments.end(), {"--huge-unlink", "--single-file-segments"});
  else
    arguments.emplace_back("--no-huge");
  if (!options.hugepages && options.memif.zero_copy)
    arguments.emplace_back("--single-file-segments");
  if (options.driver == DpdkDriver::pci)
    arguments.insert(arguments.end(), {"-a", options.pci});
  else
    arguments.insert(arguments.end(), {"--no-pci", "--iova-mode", "va"});
  arguments.insert(arguments.end(), options.eal_arguments.begin(), options.eal_arguments.end());
  return arguments;
}

int take_bpf_message(int level, const char* format, va_list arguments) {
  char text[512];
  const int size = std::vsnprintf(text, sizeof text, format, arguments);
  if (size > 0)
    log_sink().take_foreign(
        {text, std::min<std::size_t>(static_cast<std::size_t>(size), sizeof text - 1)});
  static_cast<void>(level);
  return 0;
}

/// af_xdp's helper libraries write to stderr unless told otherwise. They come with the driver, so
/// they are looked for by name; without them there is nothing to tell.
void direct_bpf_messages() {
  using Print = int (*)(int, const char*, va_list);
  using SetPrint = Print (*)(Print);
  constexpr std::pair<const char*, const char*> setters[] = {{"libbpf.so.1", "libbpf_set_print"},
                                                             {"libxdp.so.1", "libxdp_set_print"}};
  for (const auto& [library, setter] : setters)
    if (void* handle = ::dlopen(library, RTLD_NOW | RTLD_GLOBAL))
      if (void* symbol = ::dlsym(handle, setter))
        reinterpret_cast<SetPrint>(symbol)(take_bpf_message);
}

/// DPDK makes a directory per file prefix even when it puts nothing into it.
void remove_runtime_directory() {
  const char* directory = rte_eal_get_runtime_dir();
  if (directory == nullptr) return;
  ::rmdir(directory);
  // The first user without a runtime directory of his own would lock all others out of this one.
  if (std::string_view{directory}.starts_with("/tmp/dpdk/")) ::chmod("/tmp/dpdk", 01777);
}

struct Eal {
  std::mutex mutex;
  bool tried = false;
  std::string error;
};
Eal& eal() {
  static auto* state = new Eal;
  return *state;
}

std::string eal_failure(int error, const DpdkOptions& options) {
  std::string sentence = "DPDK could not start";
  if (error == ENOMEM)
    sentence += ": not enough memory; set memory-mib to what this machine has free";
  else if (options.driver == DpdkDriver::pci)
    sentence += ": check that " + options.pci +
                " is bound to vfio-pci (`dpdk-devbind.py -b vfio-pci ADDRESS`) and that this user "
                "may open it";
  else if (!options.eal_arguments.empty())
    sentence += ": check the eal arguments";
  else
    sentence += ": set log-file and read it";
  return with_complaint(sentence);
}

tl::expected<void, std::string> start(const DpdkOptions& options, std::size_t bytes) {
  log_sink().direct(options.log_file, options.log);
  direct_bpf_messages();
  const KeepAffinity affinity;
  auto arguments = eal_arguments(options, bytes, affinity.lcores());
  std::vector<char*> argv;
  for (auto& argument : arguments) argv.push_back(argument.data());
  if (rte_eal_init(static_cast<int>(argv.size()), argv.data()) < 0)
    return Failure{eal_failure(rte_errno, options)};
  remove_runtime_directory();
  return {};
}

}  // namespace

tl::expected<void, std::string> start_eal(const DpdkOptions& options, std::size_t bytes) {
  auto& state = eal();
  const std::lock_guard lock{state.mutex};
  if (!state.tried) {
    state.tried = true;  // DPDK can be started once per process, also when it fails
    if (auto started = start(options, bytes); !started) state.error = started.error();
  }
  if (!state.error.empty()) return Failure{state.error};
  return {};
}

std::string missing_driver(const std::string& driver) {
  // Drivers carry the number of DPDK's own interface in their names, as its core library does.
  Dl_info info{};
  if (::dladdr(reinterpret_cast<void*>(rte_eal_init), &info) == 0 || info.dli_fname == nullptr)
    return {};
  const std::string core{info.dli_fname};
  const auto so = core.find("librte_eal.so.");
  if (so == core.npos) return {};  // linked statically
  const auto from = so + std::string_view{"librte_eal.so."}.size();
  const auto number = core.substr(from, core.find('.', from) - from);
  const auto library = "librte_" + driver + ".so." + number;
  if (void* handle = ::dlopen(library.c_str(), RTLD_NOW | RTLD_NOLOAD))
    return ::dlclose(handle), "";
  auto package = "librte-" + driver + number;
  std::replace(package.begin(), package.end(), '_', '-');
  return "DPDK's driver " + driver + " is not installed: install it (Debian: apt install " +
         package + ").";
}

std::string with_complaint(std::string sentence) {
  if (const auto complaint = log_sink().complaint(); !complaint.empty())
    sentence += " (DPDK: " + complaint + ")";
  return sentence + ".";
}
void forget_complaints() { log_sink().forget(); }

}  // namespace proa::detail
