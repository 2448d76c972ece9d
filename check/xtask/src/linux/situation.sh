# What does not happen every day: `cargo xtask linux --situations`. One guest for each, with the policy
# `fifo` and locks in use.
insmod /pvqspin_load.ko || fail "pvqspin_load.ko does not load"

begin() {
    insmod /pvqspin.ko policy=fifo || fail "pvqspin.ko does not load"
    echo nested 1000 5000 ${1:-60000} >$load &
    sleep 1
}

said() {
    dmesg | grep -E "$1" | tail -n 1 | sed 's/^\[[^]]*\] *//'
}

case $situation in
    kicks)
        # No directed yields: kicks and halts.
        insmod /pvqspin.ko policy=fifo-halt || fail "pvqspin.ko does not load"
        echo hot 20000 20000 1000 >$load
        exact kicks
        [ "$(stat_of kick)" -gt 0 ] || fail "no kick"
        rmmod pvqspin
        echo "situation: $(said 'pvqspin: policy'); $(value expected) sections"
        ;;
    nmi)
        # A fourth context, with a lock of its own, inside the others.
        insmod /pvqspin.ko policy=stock || fail "pvqspin.ko does not load"
        for one in stock fifo bounded fifo-halt; do
            echo $one >$policy
            echo >$stats
            echo nmi 2000 5000 1000 >$load || fail "no NMIs"
            exact "NMIs, $one"
            [ "$(value nmi_expected)" -gt 0 ] || fail "no section in an NMI"
            echo "situation: NMIs, $one: $(value nmi_expected) sections in them and $(value expected) in threads," \
                "$(stat_of node_exhausted) times no node was left"
        done
        # Handlers that wait while the policy changes, from each to each.
        across=/sys/kernel/debug/pvqspin_load/across
        for one in stock fifo bounded fifo-halt fifo-holder test-and-set native; do
            for other in stock fifo bounded fifo-halt fifo-holder test-and-set native; do
                [ $one = $other ] && continue
                echo $one >$policy
                echo 1 >$across || fail "nothing happens while the policy changes"
                echo $other >$policy
                [ "$(cat $across)" = 2 ] || fail "from $one to $other $(cat $across) of 2 handlers waited"
                echo 0 >$across
            done
        done
        echo "situation: 42 changes of the policy, with two handlers of NMIs that wait for a third"
        rmmod pvqspin
        ;;
    tracing)
        insmod /pvqspin.ko policy=fifo || fail "pvqspin.ko does not load"
        cd /sys/kernel/tracing || fail "no tracing"
        for function in lock_any pvq_unlock_any pvq_lock pvq_unlock; do
            echo "p:x pvqspin:$function" 2>/dev/null >kprobe_events && fail "$function can be probed"
        done
        echo "p:x pvqspin:policy_get" >kprobe_events || fail "another function of the module cannot be probed"
        echo >kprobe_events
        # Each function of the kernel, and of modules.
        echo function >current_tracer || fail "no function tracer"
        echo nested 1000 5000 500 >$load
        exact "function tracer"
        echo 0 >tracing_on
        [ "$(grep -c -E 'lock_any|pvq_' trace)" = 0 ] || fail "the lock is traced: $(grep -m 1 -E 'lock_any|pvq_' trace)"
        [ "$(grep -c . trace)" -gt 1000 ] || fail "nothing was traced"
        echo "situation: under the function tracer $(value expected) sections, none of ours in $(grep -c . trace) lines"
        echo nop >current_tracer
        rmmod pvqspin
        ;;
    migration)
        # The host stops this machine at an instant of its own, and goes on with it in another process.
        begin 60000
        echo GUEST-MIGRATES
        sleep 20
        echo bounded >$policy
        sleep 1
        echo stop >$load
        wait
        exact migration
        rmmod pvqspin
        echo "situation: migration under load: $(value expected) sections"
        ;;
    panic)
        begin
        echo "situation: panic under load; what follows is the kernel's last word"
        echo GUEST-RESETS
        # Until the console has it.
        sleep 1
        echo c >/proc/sysrq-trigger
        ;;
    kexec)
        cd /
        (printf '%s\n' dev proc sys tmp && find init bin scripts ./*.ko ! -type l) | cpio -o -H newc >/tmp/initramfs
        kexec -l /kernel --initrd=/tmp/initramfs \
            --append="$(sed 's/situation=kexec/situation=after-kexec/' /proc/cmdline)" || fail "kexec -l"
        begin
        kexec -e || fail "kexec -e"
        sleep 60
        ;;
    after-kexec)
        begin 500
        wait
        exact kexec
        rmmod pvqspin
        echo "situation: kexec under load; the next kernel came up, loaded the module, and counted $(value expected) sections"
        ;;
    suspend)
        # To disk, without a disk: CPUs go off, the image is made in memory, they come back, and only
        # then there is nowhere to write it.
        begin 20000
        echo disk >/sys/power/state 2>/dev/null
        wait
        exact suspend
        rmmod pvqspin
        [ "$(dmesg | grep -c 'is now offline')" = 3 ] || fail "CPUs did not go: $(said 'PM: ')"
        [ "$(nproc)" = 4 ] || fail "$(nproc) of 4 CPUs came back"
        echo "situation: hibernation under load: $(dmesg | grep -c 'is now offline') times a CPU went, $(value expected) sections"
        ;;
    other)
        # Another module has exchanged the spinlock before.
        insmod /pvqspin_other.ko || fail "pvqspin_other.ko does not load"
        insmod /pvqspin.ko 2>/dev/null && fail "it loads"
        echo "situation: $(said 'pvqspin: another')"
        rmmod pvqspin_other
        insmod /pvqspin.ko policy=fifo || fail "it does not load after the other has gone"
        # And another that comes after: a change is refused, unloading is right.
        insmod /pvqspin_other.ko || fail "pvqspin_other.ko does not load"
        echo bounded 2>/dev/null >$policy && fail "the policy changes under another module"
        # It would put back what leads into this one, which stays until then.
        rmmod pvqspin 2>/dev/null && fail "it unloads under another module"
        rmmod pvqspin_other
        echo bounded >$policy || fail "the policy does not change after the other has gone"
        rmmod pvqspin
        ;;
esac
