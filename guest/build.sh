#!/bin/sh
# Builds the guests: build.sh [OUTPUT_FOLDER], by default public/guests.
# The same sources and compiler give the same bytes; manifest.txt beside the ELFs names all three.
set -eu

here=$(cd "$(dirname "$0")" && pwd)
out=${1:-$here/../public/guests}
cc=${RISCV_CC:-riscv64-unknown-elf-gcc}
mkdir -p "$out"
out=$(cd "$out" && pwd)
cd "$here"

flags="-march=rv64ima_zicsr_zifencei -mabi=lp64 -mcmodel=medany -msmall-data-limit=0 -O2 -std=gnu11
  -ffreestanding -fno-tree-loop-distribute-patterns -fno-common -fno-asynchronous-unwind-tables
  -ffunction-sections -fdata-sections -Wall -Wextra -Werror
  -nostdlib -static -Wl,--gc-sections -Wl,--build-id=none -Wl,-z,max-page-size=4096 -Wl,--fatal-warnings -s"

# shellcheck disable=SC2086 # the flags are words
{
  for guest in monitor litmus virtio; do
    "$cc" $flags -T lib/guest.ld -o "$out/$guest.elf" $guest/*.S $guest/*.c lib/*.c
  done
  # A program for Linux: what of lib/ needs no machine of its own. It has no global pointer to relax addresses to.
  "$cc" $flags -Wl,--no-relax -o "$out/gmem.elf" gmem/*.S gmem/*.c lib/number.c lib/print.c lib/sbi.c lib/string.c
}
chmod a-x "$out"/*.elf

{
  "$cc" -dumpfullversion
  find . -type f ! -name '*.md' | LC_ALL=C sort | xargs sha256sum
  cd "$out"
  sha256sum gmem.elf litmus.elf monitor.elf virtio.elf
} >"$out/manifest.txt"
