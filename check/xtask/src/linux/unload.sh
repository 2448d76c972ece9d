# Unloading under load, once that waits. While the kernel's text is held still all calls lead into a module that has given up
# already, and all CPUs but one get into it. One call does not return for that many milliseconds: without a time at which all
# CPUs have stood still it would be seen. The first CPU has no part in it, and can unload meanwhile.
echo hot 20000000 1000 300000 >$load &
trial=$!
unload() {
    echo >$stats
    until [ "$(stat_of slow_path)" -gt 0 ]; do
        sleep 0.1
    done
    echo $1 >/sys/kernel/debug/pvqspin_load/hold_text || fail "the kernel's text is not held still"
    taskset 1 rmmod pvqspin || fail "it does not unload under load"
    kill -0 $trial || fail "the load ended before the unloading"
}
