#!/bin/busybox sh
# The first process of a guest: runs the script that the kernel's command line names.
/bin/busybox mkdir -p /usr/bin /sbin /out
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin:/sbin:/usr/sbin
mount -t devtmpfs devtmpfs /dev
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t debugfs debugfs /sys/kernel/debug
mount -t tracefs tracefs /sys/kernel/tracing 2>/dev/null
for word in $(cat /proc/cmdline); do
    case $word in
        script=*) script=${word#script=} ;;
    esac
done

# A kernel that another one starts goes on where that one was.
[ "$situation" = after-kexec ] || echo GUEST-BEGIN
load=/sys/kernel/debug/pvqspin_load/run
policy=/sys/module/pvqspin/parameters/policy
stats=/sys/kernel/debug/pvqspin/stats

fail() {
    echo "FAILED: $*"
}

# A value of the last trial.
value() {
    sed -n "s/^$1 //p" $load
}

# Whether no section was lost, in any context.
exact() {
    for lock in '' softirq_ hardirq_ nmi_; do
        [ "$(value ${lock}counted)" = "$(value ${lock}expected)" ] ||
            fail "$1: ${lock}counted $(value ${lock}counted) of $(value ${lock}expected) sections"
    done
}

# A statistic, of all CPUs together.
stat_of() {
    sed -n "s/^$1  *\([0-9]*\).*/\1/p" $stats
}

. "/scripts/$script"

dmesg | grep -E 'BUG:|WARNING:|soft lockup|hard LOCKUP|rcu: INFO|blocked for more than|Oops|pvqspin: .*(inside the module|one after another)' |
    sed 's/^/FAILED: the kernel says: /'
echo "GUEST-END"
reboot -f
