# shellcheck shell=bash
# For test/run.sh, bench/demo.sh and the end-to-end tests: packages, build, two hosts. Source it.

# What a fresh Debian 12 needs to build and run Proa.
# shellcheck disable=SC2034  # used by those who source this
proa_build_packages=(g++ meson ninja-build pkg-config libfmt-dev libcli11-dev libexpected-dev catch2
  libboost-dev libtomlplusplus-dev libdpdk-dev iproute2 python3)
# What the tests need besides.
# shellcheck disable=SC2034
proa_test_packages=(clang libclang-rt-14-dev clang-format-14 shellcheck tshark binutils procps
  iputils-ping ethtool)

proa_say() { printf '== %s\n' "$*" >&2; }
proa_fail() { printf '%s\n' "$*" >&2; exit 1; }

# Prints those of the named packages that are not installed.
proa_missing_packages() {
  local package
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null) == ii* ]] || echo "$package"
  done
}

# Installs what is missing of the named packages, or says in one sentence what to do.
proa_install() {
  local -a missing
  mapfile -t missing < <(proa_missing_packages "$@")
  ((${#missing[@]})) || return 0
  command -v apt-get >/dev/null ||
    proa_fail "Missing here, by their Debian names: ${missing[*]}. Install them and come back."
  ((EUID == 0)) ||
    proa_fail "Missing packages; as root run: apt-get install ${missing[*]}"
  proa_say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get -qq update >&2 || proa_say "apt-get update failed; trying with the lists there are"
  apt-get -qq -y --no-install-recommends install "${missing[@]}" >/dev/null ||
    proa_fail "apt-get could not install ${missing[*]}; see its words above."
}

# proa_configure DIRECTORY 'MESON OPTIONS': once.
proa_configure() {
  local directory=$1 options=$2
  [[ ! -f $directory/build.ninja ]] || return 0
  # Without build.ninja it was interrupted: what it had found out is no good.
  mkdir -p "$directory" && rm -rf "$directory/meson-private" || return 1
  # shellcheck disable=SC2086  # options are words
  meson setup "$directory" $options >"$directory/setup.log" 2>&1 || {
    tail -n 20 "$directory/setup.log" >&2
    return 1
  }
}

# proa_build DIRECTORY 'MESON OPTIONS' [TARGET...]: configures, builds, shows progress.
proa_build() {
  local directory=$1 options=$2 start=$SECONDS
  shift 2
  proa_configure "$directory" "$options" || return 1
  proa_say "building $directory"
  if [[ -t 2 ]]; then
    ninja -C "$directory" "$@" >&2 || return 1
  else
    NINJA_STATUS='' ninja --quiet -C "$directory" "$@" >&2 || return 1
  fi
  proa_say "built $directory in $((SECONDS - start)) s"
}

# proa_hosts_up TAG [MTU [QUEUES]]: two hosts: network namespaces $proa_host_a and $proa_host_b with a
# veth pair, each end called wire0 and with as many queue pairs (without a number: as the kernel likes),
# 10.117.0.1/24 and 10.117.0.2/24. proa_hosts_down removes them and every process inside; call it from
# a trap, it may be called at any time and twice.
proa_hosts_up() {
  local tag=$1 mtu=${2:-1500} host
  local -a queues=(${3:+numrxqueues "$3" numtxqueues "$3"})
  ((EUID == 0)) || proa_fail "Network namespaces need root; run this as root."
  proa_host_a=proa-$tag-$$-a proa_host_b=proa-$tag-$$-b
  { ip netns add "$proa_host_a" && ip netns add "$proa_host_b" &&
    ip -n "$proa_host_a" link add wire0 "${queues[@]}" type veth \
      peer name wire0 "${queues[@]}" netns "$proa_host_b"; } ||
    proa_fail "Cannot make two network namespaces with a veth pair here: give the container CAP_SYS_ADMIN and CAP_NET_ADMIN, or use --wire memif."
  for host in a b; do
    local -n name=proa_host_$host
    ip -n "$name" link set lo up
    ip -n "$name" link set wire0 mtu "$mtu" up
  done
  ip -n "$proa_host_a" addr add 10.117.0.1/24 dev wire0
  ip -n "$proa_host_b" addr add 10.117.0.2/24 dev wire0
}

proa_hosts_down() {
  local host pid
  for host in "${proa_host_a:-}" "${proa_host_b:-}"; do
    [[ -n $host && -e /run/netns/$host ]] || continue
    for pid in $(ip netns pids "$host"); do kill -9 "$pid" 2>/dev/null; done
    ip netns del "$host"
  done
}
