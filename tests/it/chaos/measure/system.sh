# A system under test: `start` looks whether it is whole, `test` reads a file.
cd "$WHORL_DIR" || exit 1
case $1 in
prepare)
    echo "abcdefghijklmnopqrstuvwxyz abcdefghijklmnopqrstuvwxyz" > data
    echo '{"fact": 1}' > facts.json
    ;;
start)
    [ ! -e broken ] || { echo "the engine failed to start at all"; exit 1; }
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
stop) touch stopped ;;
esac
