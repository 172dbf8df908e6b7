#!/bin/sh
# Whether this machine can run a sanitizer: sh sanitize/check.sh address|thread
# Exit status 0, or 1 with the reason on one line.
set -eu
case ${1:-} in
address) flags=-fsanitize=address,undefined run= ;;
# As sanitize/run.sh: a fixed memory layout. Some containers do not allow it.
thread) flags=-fsanitize=thread run="setarch $(uname -m) -R" ;;
*)
    echo "sanitize: '${1:-}' is neither address nor thread" >&2
    exit 2
    ;;
esac
compiler=${CXX:-c++}
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
echo 'int main() { return 0; }' >"$folder/empty.cpp"
if ! "$compiler" $flags "$folder/empty.cpp" -o "$folder/empty" 2>/dev/null; then
    echo "sanitize: $compiler has no $1 sanitizer: install the compiler's sanitizer libraries" >&2
    exit 1
fi
# sanitize/openmp.cpp stands in for GCC's OpenMP, and the runtimes are GCC's shared libraries.
if ! echo | "$compiler" -dM -E -x c++ - | grep -q __GNUC__ ||
    echo | "$compiler" -dM -E -x c++ - | grep -q __clang__; then
    echo "sanitize: $compiler is not GCC" >&2
    exit 1
fi
# shellcheck disable=SC2086 # may be several words, or none
if ! $run "$folder/empty" 2>/dev/null; then
    echo "sanitize: programs with the $1 sanitizer do not run here" >&2
    exit 1
fi
