#!/busybox sh
# Ordinary programs, under Linux's own scheduler and under scx_pvq in turns: seconds for each run.
/busybox mkdir -p /bin
/busybox --install -s /bin
export PATH=/bin
# A stand-in for a build: as many jobs as there are processors and two more, each of many short processes.
cat >/tmp/jobs.sh <<'JOBS'
for job in 1 2 3 4; do
    (for step in $(seq 60); do gzip -c /busybox | head -c 20000 | md5sum >/dev/null; done) &
done
wait
JOBS
seconds() {
    from=$(cut -d' ' -f1 /proc/uptime)
    "$@" >/dev/null 2>&1 || echo "FAILED: $*"
    awk -v from="$from" '{ printf "%.2f", $1 - from }' /proc/uptime
}
each() { # HOST BEFORE...
    host=$1
    shift
    echo "$host messages $(seconds "$@" /hackbench -g 2 -l 100)"
    echo "$host pipes $(seconds "$@" /hackbench -p -T -g 2 -l 100)"
    echo "$host jobs $(seconds "$@" sh /tmp/jobs.sh)"
}
for round in 1 2 3; do
    each stock
    /scx_pvq --report "/out/scx-$round.json" >/dev/null 2>&1 &
    program=$!
    for _ in $(seq 100); do
        [ "$(cat /sys/kernel/sched_ext/state)" = enabled ] && break
        sleep 0.1
    done
    each scx
    kill -INT $program
    wait $program || echo "FAILED: scx_pvq did not last"
done
