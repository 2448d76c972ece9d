# A hot lock under each policy, in turns: `cargo xtask linux`.
insmod /pvqspin_load.ko
insmod /pvqspin.ko policy=stock || fail "pvqspin.ko does not load"
names=/sys/module/pvqspin/parameters/names
for turn in $(seq "${turns:-3}"); do
    for one in stock test-and-set fifo fifo:nameless bounded bounded:nameless native; do
        echo "${one%:*}" >$policy
        case $one in
            *:nameless) echo 0 >$names ;;
            *) echo 1 >$names ;;
        esac
        for_ms=${ms:-1000}
        [ $one = native ] && for_ms=$((for_ms / 3))
        echo >$stats
        echo "${kind:-hot}" "${inside:-2000}" "${outside:-20000}" $for_ms >$load
        exact $one
        echo "trial $turn $one $(value per_second) $(value longest_wait_ns) $(value p999_below_ns)" \
            "$(stat_of slow_path) $(stat_of named) $(stat_of nameless) $(stat_of yield_ran) $(stat_of yield_refused) \
            $(value longest_wait_others) $(value longest_in_order_ns) $(value free_ps)"
    done
done
rmmod pvqspin
