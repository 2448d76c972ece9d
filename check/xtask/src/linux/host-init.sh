#!/bin/busybox sh
# The first process of the host: loads KVM, and runs the guests one after another.
#
# /guests has a line for each: NAME|SCRIPT|VCPUS|PROCESSOR|KERNEL
#
# The emulator of this host sometimes puts registers of the host in the place of a guest's (decision 9). The guest
# ends in a triple fault then, of which nothing but the reset is left, and is booted again, twice at most.
/bin/busybox mkdir -p /usr/bin /sbin
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t debugfs debugfs /sys/kernel/debug
mount -t tmpfs tmpfs /tmp
exec </dev/null >/dev/ttyS0 2>&1
stty raw -echo -F /dev/ttyS0
for module in /modules/*.ko; do
    insmod "$module" || echo "FAILED: $module does not load"
done
program=
if [ -x /program ]; then
    /program $(cat /program-options) &
    program=$!
    # A scheduler needs a moment to take over; another program may do what it likes.
    for _ in $(seq 20); do
        [ "$(cat /sys/kernel/sched_ext/state 2>/dev/null)" = enabled ] && break
        sleep 0.5
    done
    echo "HOST scheduler: $(cat /sys/kernel/sched_ext/root/ops 2>/dev/null || echo EEVDF)"
fi
return=$(printf '\r')
silence=120
# Starts a guest, or with more options goes on with one.
start() {
    rm -f /tmp/monitor.in /tmp/monitor.out
    mkfifo /tmp/monitor.in /tmp/monitor.out
    qemu-system-x86_64 -L /usr/share/qemu -L /usr/share/seabios \
        -M microvm,accel=kvm,pit=on,pic=on,rtc=on,isa-serial=on \
        -cpu "qemu64,+x2apic,$processor" -smp "$vcpus" -m 500 \
        -nodefaults -no-user-config -display none -serial stdio -monitor pipe:/tmp/monitor \
        -kernel /guest-kernel -initrd /guest-initramfs \
        -append "console=ttyS0 quiet loglevel=4 panic=-1 mitigations=off nokaslr reboot=t cpuhp.parallel=0 script=$script $kernel" \
        "$@" >/tmp/said 2>&1 </dev/null &
    qemu=$!
}
# A live migration into a file, and out of it into another process.
migrate() {
    # There is a writer all the time.
    exec 4>/tmp/said
    printf 'migrate "exec:cat >/tmp/state"\nquit\n' >/tmp/monitor.in
    wait $qemu
    echo "HOST migrates $(stat -c %s /tmp/state) bytes"
    start -incoming "exec:cat /tmp/state"
    exec 4>&-
}
# What its processors do, twice: a guest that hangs says it by that alone.
tell_where_it_is() {
    echo "HOST nothing was said for $silence s"
    grep -a -E '^(CPU#|R[A-Z0-9]+ ?=)' </tmp/monitor.out &
    reader=$!
    for _ in 1 2; do
        printf 'info registers -a\n' >/tmp/monitor.in
        sleep 2
    done
    kill $reader
}
# Waits until a line could be read, and tells once for each line if that takes long. 1 at the end of all lines.
next_line() {
    since=$(cut -d. -f1 /proc/uptime)
    IFS= read -r -t $silence line && return
    [ $(($(cut -d. -f1 /proc/uptime) - since)) -ge $silence ] || return
    tell_where_it_is
    IFS= read -r line
}
# One boot of a guest. 1 if it was reset before its end.
boot() {
    rm -f /tmp/said
    mkfifo /tmp/said
    start
    began=
    resets=
    ended=1
    while next_line; do
        line=${line%"$return"}
        case $line in
            *'exceeds the recommended cpus'*) ;;
            GUEST-BEGIN)
                if [ -n "$began" ]; then
                    [ -n "$resets" ] && ended=0
                    break
                fi
                began=1
                ;;
            GUEST-MIGRATES) migrate ;;
            # It is going to panic, and says so.
            GUEST-RESETS) resets=1 ;;
            GUEST-END)
                ended=0
                break
                ;;
            *) echo "$line" ;;
        esac
    done </tmp/said
    echo "HOST KVM saw $(cat /sys/kernel/debug/kvm/directed_yield_attempted) directed yields," \
        "and the scheduler did $(cat /sys/kernel/debug/kvm/directed_yield_successful)"
    kill $qemu 2>/dev/null
    wait $qemu
    return $ended
}

while IFS='|' read -r name script vcpus processor kernel; do
    echo "GUEST $name"
    for again in 1 2 3; do
        boot && break
        [ $again = 3 ] || echo "GUEST-AGAIN $name"
    done
    [ $ended = 0 ] && echo GUEST-END
done </guests
if [ -n "$program" ]; then
    kill -TERM "$program"
    wait "$program"
    # What it leaves there comes out.
    [ -e /tmp/report ] && echo "HOST report $(cat /tmp/report)"
fi
dmesg | grep -E 'BUG:|soft lockup|rcu: INFO|sched_ext:'
echo HOST-END
poweroff -f
