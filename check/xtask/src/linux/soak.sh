# Random exchanges under load, with CPUs that go and come: `cargo xtask linux --soak SECONDS`.
insmod /pvqspin_load.ko || fail "pvqspin_load.ko does not load"
insmod /pvqspin.ko policy=bounded || fail "pvqspin.ko does not load"
names=/sys/module/pvqspin/parameters/names
RANDOM=${seed:-1}
echo "seed ${seed:-1}"

# Linux's own test of locks, where the kernel has it.
torture=
if [ -e /locktorture.ko ]; then
    insmod /torture.ko
    insmod /locktorture.ko torture_type=spin_lock stat_interval=0 stutter=0 && torture=1
fi

now() {
    cut -d. -f1 /proc/uptime
}

cpus=$(nproc)
exchanges=0
hotplugs=0
sections=0
trials=0
until=$(($(now) + ${soak:-60}))
while [ "$(now)" -lt $until ]; do
    echo nested $((RANDOM % 4000)) $((RANDOM % 40000)) 3000 >$load &
    trial=$!
    while kill -0 $trial 2>/dev/null; do
        # The native queue gets nowhere where vCPUs wait for each other: not often.
        set -- stock test-and-set fifo bounded fifo-halt fifo-holder
        [ $((RANDOM % 32)) = 0 ] && set -- native
        shift $((RANDOM % $#))
        echo $1 >$policy || fail "$1 cannot be chosen"
        exchanges=$((exchanges + 1))
        [ $((RANDOM % 16)) = 0 ] && echo $((RANDOM % 2)) >$names
        if [ $((RANDOM % 16)) = 0 ] && [ "$cpus" -gt 2 ]; then
            cpu=/sys/devices/system/cpu/cpu$((1 + RANDOM % (cpus - 1)))/online
            echo 0 >$cpu && echo 1 >$cpu && hotplugs=$((hotplugs + 1))
        fi
    done
    wait $trial
    exact "trial $trials"
    sections=$((sections + $(value expected) + $(value softirq_expected) + $(value hardirq_expected)))
    trials=$((trials + 1))
    [ $((trials % 10)) = 0 ] && echo "after $(now) s: $trials trials, $exchanges exchanges, $hotplugs CPUs went and came"
done
if [ -n "$torture" ]; then
    echo "locktorture ends"
    rmmod locktorture
    dmesg | grep -o -E '(Writes: .*Fail: [0-9]*|End of test: [A-Z]*)' | tail -n 2
    dmesg | grep -q 'End of test: SUCCESS' || fail "locktorture"
fi
echo "the module goes"
rmmod pvqspin || fail "it does not unload"
echo "checked $exchanges exchanges in ${soak:-60} s, $hotplugs times a CPU that went and came," \
    "$sections sections in $trials trials, all counted"
