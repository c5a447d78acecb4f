# A system under test: `start` looks whether it is whole, `test` reads a file.
cd "$WHORL_DIR" || exit 1
case $1 in
prepare)
    echo "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz" > data
    echo '{"fact": 1}' > facts.json
    ;;
start)
    [ ! -e broken ] || { echo "the engine failed to start at all"; exit 1; }
    # A tree: one that stays in the group, one with a session of its own, one that only `stop` knows.
    if [ -e ../../../grow ]; then
        sh -c 'sleep 600 & echo $! > child; echo $$ > parent; wait' > /dev/null 2>&1 &
        setsid sh -c 'echo $$ > apart; exec sleep 600' > /dev/null 2>&1 < /dev/null &
        env -i PATH="$PATH" setsid sh -c 'echo $$ > bare; exec sleep 600' > /dev/null 2>&1 < /dev/null &
    fi
    ;;
test)
    echo "reading, seed $WHORL_SEED"
    if [ -e hang ]; then
        echo $$ > hangs.new && mv hangs.new hangs
        exec sleep 60
    fi
    LC_ALL=C cat data || exit 1
    [ "$(cat data)" = "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz" ] ||
        { echo; echo "strange content"; exit 1; }
    ;;
stop)
    [ ! -e bare ] || kill "$(cat bare)"
    touch stopped
    ;;
esac
