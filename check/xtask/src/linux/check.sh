# Exchange, exclusion, policies, unloading: `cargo xtask linux --check`.
insmod /pvqspin_load.ko || fail "pvqspin_load.ko does not load"
echo hot 2000 20000 200 >$load
exact "before the module"
# Who calls a function, by a look at all of the kernel's text: a line for each place.
callers_of() {
    echo $1 >/sys/kernel/debug/pvqspin_load/callers
    cat /sys/kernel/debug/pvqspin_load/callers
}
# Of the kernel's slow path.
callers() {
    callers_of __pv_queued_spin_lock_slowpath | wc -l
}
callers_before=$(callers)
[ "$callers_before" -gt 1 ] || fail "the kernel's slow path has $callers_before callers"
all_call() {
    [ "$(callers)" = $1 ] || fail "$2: $(callers) callers of the kernel's slow path, and not $1"
}
# Those of the kernel's fast paths that ask this module for a name.
name_askers() {
    callers_of pvq_load_word | wc -l
}
# Where indirect branches are checked, functions that are found by name may not be called. And a guest of TDX
# ends at a hypercall that its kernel did not make.
for what in ibt:'boot with ibt=off' tdx:'a guest of TDX'; do
    insmod /pvqspin_other.ko ${what%%:*}=1 || fail "pvqspin_other.ko does not load"
    insmod /pvqspin.ko 2>/dev/null && fail "it loads in spite of ${what%%:*}" && rmmod pvqspin
    dmesg | grep -q "pvqspin: .*${what#*:}" || fail "it does not say what ${what%%:*} forbids"
    rmmod pvqspin_other
done
insmod /pvqspin.ko policy=fifo || fail "pvqspin.ko does not load"
[ "$(cat $policy)" = fifo ] || fail "the policy is $(cat $policy)"
named_functions=$(cat /sys/kernel/debug/pvqspin/names)
[ "$named_functions" -ge 4 ] || fail "$named_functions functions of the kernel name the holder"
echo nonsense 2>/dev/null >$policy && fail "there is a policy called nonsense"
for one in stock fifo bounded fifo-halt fifo-holder test-and-set native; do
    echo $one >$policy || fail "$one cannot be chosen"
    case $one in
        stock) all_call $callers_before $one ;;
        *) all_call 0 $one ;;
    esac
    # Linux's own locks are measured as they are without the module.
    case $one in
        stock | test-and-set | native) named_now=0 ;;
        *) named_now=$named_functions ;;
    esac
    [ "$(name_askers)" = $named_now ] || fail "$one: $(name_askers) functions ask for a name, and not $named_now"
    echo >$stats
    # The native queue gets nowhere here: it is to be exact, not quick.
    echo hot 2000 20000 300 >$load
    exact "$one, hot"
    hot=$(value per_second)
    echo nested 1000 5000 300 >$load
    exact "$one, nested"
    [ "$(value expected)" -gt 0 ] || fail "$one: no progress"
    echo "checked $one: $hot a second, $(stat_of slow_path) slow paths, $(stat_of yield_ran) yields ran their target," \
        "$(stat_of named) waits with a name, $(stat_of nameless) without"
    case $one in
        fifo)
            [ "$(stat_of slow_path)" -gt 0 ] || fail "$one: no slow path"
            [ "$(stat_of named)" -gt "$(stat_of nameless)" ] || fail "$one: most waits had no name"
            ;;
        fifo-halt)
            [ "$(stat_of kick)" -gt 0 ] || fail "$one: no kick"
            ;;
        stock | test-and-set | native)
            [ "$(stat_of slow_path)" = 0 ] || fail "$one: slow paths of ours"
            ;;
    esac
done
# Traced as the kernel's own slow path is: what `perf lock contention` reads.
trace=/sys/kernel/tracing
echo fifo >$policy
for event in begin end; do
    echo 1 >$trace/events/lock/contention_$event/enable
done
echo hot 2000 20000 300 >$load
for event in begin end; do
    echo 0 >$trace/events/lock/contention_$event/enable
    [ "$(grep -c "contention_$event:.*" $trace/trace)" -gt 0 ] || fail "no contention_$event"
done
exact "traced"
# The tracepoint for which the kernel exchanges its release: not while ours is there.
if [ -d $trace/events/lock/contended_release ]; then
    for one in stock fifo native; do
        echo 1 >$trace/events/lock/contended_release/enable
        echo $one >$policy
        echo hot 2000 20000 100 >$load
        exact "contended_release, $one"
        echo 0 >$trace/events/lock/contended_release/enable
        echo hot 2000 20000 100 >$load
        exact "after contended_release, $one"
    done
fi
# It is switched while an exchange goes on, when the kernel has looked already what its release is.
if [ -d $trace/events/lock/contended_release ]; then
    echo stock >$policy
    echo 0 >/sys/module/pvqspin/parameters/names
    # Or the tracepoint of the scheduler is switched before it, and waits.
    echo 0 >$trace/options/record-cmd
    echo 2000 >/sys/kernel/debug/pvqspin_load/hold_calls
    echo fifo >$policy &
    sleep 0.5
    echo 1 >$trace/events/lock/contended_release/enable &
    wait
    [ "$(callers_of __raw_callee_save_pv_queued_spin_unlock_traced | wc -l)" = 0 ] ||
        fail "a tracepoint has undone half of an exchange"
    echo 0 >$trace/events/lock/contended_release/enable
    echo 1 >$trace/options/record-cmd
    echo 1 >/sys/module/pvqspin/parameters/names
fi
echo "checked tracepoints"
# A probe in the place of a call that the module has written: the call stays then, and with it the module.
echo fifo >$policy
place=$(callers_of pvq_load_word | sed -n 's/^\([0-9a-f]*\) _raw_spin_trylock_bh$/0x\1/p')
echo "p:here $place" >$trace/kprobe_events || fail "no probe at $place"
echo 1 >$trace/events/kprobes/here/enable
echo stock >$policy || fail "stock cannot be chosen while there is a probe"
[ "$(cat /sys/kernel/debug/pvqspin/names)" = 1 ] || fail "$(cat /sys/kernel/debug/pvqspin/names) calls stay for one probe"
echo fifo >$policy
[ "$(cat /sys/kernel/debug/pvqspin/names)" = $named_functions ] || fail "the probe's place is lost"
rmmod pvqspin &
unloading=$!
sleep 1
kill -0 $unloading || fail "it unloads under a probe"
echo 0 >$trace/events/kprobes/here/enable
echo >$trace/kprobe_events
wait $unloading
insmod /pvqspin.ko policy=fifo || fail "it does not load after the probe"
[ "$(name_askers)" = $named_functions ] || fail "after the probe $(name_askers) functions ask for a name"
echo "checked probes"
# Under load.
echo nested 1000 100000 3000 >$load &
trial=$!
changes=0
while kill -0 $trial 2>/dev/null; do
    for one in fifo stock bounded test-and-set fifo-halt stock fifo-holder bounded; do
        echo $one >$policy || fail "$one cannot be chosen under load"
        changes=$((changes + 1))
    done
done
wait $trial
exact "$changes exchanges"
echo "checked $changes exchanges under load, $(value expected) sections"
# A CPU goes and comes.
echo fifo >$policy
echo hot 2000 20000 1000 >$load &
trial=$!
echo 0 >/sys/devices/system/cpu/cpu3/online || fail "CPU 3 does not go"
echo bounded >$policy
echo 1 >/sys/devices/system/cpu/cpu3/online || fail "CPU 3 does not come back"
wait $trial
exact "a CPU that came and went"
# Loaded and unloaded under load, without names and with.
. /scripts/unload
for names in 0 1 0 1; do
    unload 300
    insmod /pvqspin.ko policy=fifo names=$names || fail "it does not load again"
done
unload 300
echo stop >$load
all_call $callers_before unloading
wait $trial
exact "unloading"
echo hot 2000 20000 200 >$load
exact "after the module"
echo "checked loading and unloading"
