#!/bin/bash
# Builds and runs the outside project in this directory against Proa.
# usage: try.sh installed|subproject SOURCE_ROOT BUILD_DIRECTORY true|false (with DPDK)
set -eu
way=$1 source=$2 build=$3 dpdk=$4
scratch=$(mktemp -d /tmp/proa-consumer-XXXXXX)
trap 'rm -rf "$scratch"' EXIT
cp -r "$source/test/consumer" "$scratch/project"
cd "$scratch/project"

case $way in
  installed)
    meson install -C "$build" --no-rebuild --destdir "$scratch/root" --quiet >/dev/null
    PKG_CONFIG_PATH=$(dirname "$(find "$scratch/root" -name proa.pc)")
    export PKG_CONFIG_PATH
    if find "$scratch/root" -name proad | grep -q .; then
      for cloud in aws azure gcp; do # as `proad --probe-nic` names them
        find "$scratch/root" -path "*/share/proa/clouds/$cloud.md" | grep -q . ||
          { echo "the notes for $cloud are not installed"; exit 1; }
      done
    fi
    meson setup --wrap-mode=nofallback -Ddpdk="$dpdk" build >"$scratch/log"
    ;;
  subproject)
    mkdir -p subprojects/proa
    # Not a link: a build directory inside the sources would be found again.
    cp -r "$source"/{meson.build,meson_options.txt,include,lib} subprojects/proa/
    feature=disabled
    [[ $dpdk == false ]] || feature=enabled
    meson setup --wrap-mode=forcefallback --force-fallback-for=proa,proa-dpdk -Ddpdk="$dpdk" \
      -Dproa:dpdk="$feature" -Dproa:optimization=1 build >"$scratch/log"
    ;;
esac || { cat "$scratch/log"; exit 1; }
ninja -C build >"$scratch/log" || { cat "$scratch/log"; exit 1; }

# The sidecar's client is for programs that have never heard of DPDK.
if ninja -C build -t commands through_sidecar | grep -iE 'dpdk|rte_|librte'; then
  echo "DPDK is on the compile or link line of a program that only uses the sidecar."
  exit 1
fi
if ldd build/through_sidecar | grep librte; then
  echo "A program that only uses the sidecar needs a library of DPDK."
  exit 1
fi
build/through_sidecar
[[ $dpdk == false ]] || build/in_process
