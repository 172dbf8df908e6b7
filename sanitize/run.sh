#!/bin/sh
# Tests of the extension under a sanitizer: sh sanitize/run.sh address|thread BUILD PYTHON [small]
#
# small: without the largest rings and the tests of single kernels, which take more time than all others.
# A sanitizer's runtime must be loaded before Python. For the address sanitizer, libstdc++ as well:
# else it cannot follow exceptions. Leaks are not looked for: Python itself keeps memory until it ends.
set -eu
sanitizer=$1 build=$2 python=$3 extent=${4:-all}
case $extent in
all) chosen=test ;; # which all their names contain
small) chosen='not 1024 and not 4096' ;;
*)
    echo "sanitize: '$extent' is neither all nor small" >&2
    exit 2
    ;;
esac
extension=$(echo "$build"/_native*.so)
library() { "${CXX:-c++}" -print-file-name="$1"; }
case $sanitizer in
address)
    preload="$(library libasan.so) $(library libstdc++.so)"
    export ASAN_OPTIONS="detect_leaks=0:strict_string_checks=1:${ASAN_OPTIONS:-}"
    export UBSAN_OPTIONS="print_stacktrace=1:${UBSAN_OPTIONS:-}"
    run=""
    # One of them limits the memory that a process may map, which the sanitizer maps at its start.
    tests="tests/native --ignore=tests/native/test_out_of_memory.py"
    # The tests of single kernels take as long again; these call the same kernels.
    [ "$extent" = all ] ||
        tests="tests/native/test_ring.py tests/native/test_matching*.py tests/native/test_arguments.py"
    ;;
thread)
    preload="$(library libtsan.so)"
    export TSAN_OPTIONS="halt_on_error=1:exitcode=66:${TSAN_OPTIONS:-}"
    # Its fixed memory layout does not stand much randomisation of addresses.
    run="setarch $(uname -m) -R"
    # Those that run every operation on several threads.
    tests="tests/native/test_ring.py tests/native/test_matching*.py"
    chosen="threads_or_kernels"
    ;;
*)
    echo "sanitize: $sanitizer is neither address nor thread" >&2
    exit 2
    ;;
esac
[ -f "$extension" ] || { echo "sanitize: no extension in $build" >&2; exit 2; }
# shellcheck disable=SC2086 # both may be several words
exec $run env LD_PRELOAD="$preload" OMP_NUM_THREADS=2 PYTHONMALLOC=malloc \
    "$python" sanitize/run.py "$extension" -q -p no:cacheprovider $tests -k "$chosen"
