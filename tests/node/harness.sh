# The `run` of a test under Node.js: installs what the test needs, runs it, leaves no process behind. Sourced.
#
# A `run` defines three functions and ends with `main DIRECTORY "$@"`; DIRECTORY is its own below tests/. Two of them are
# called where the test is installed, target/test-DIRECTORY/DIRECTORY, with the files of the test in place:
#
#   missing_packages          prints the Debian packages that the test needs and the machine lacks
#   pinned                    prints all that decides what install_pinned_packages installs
#   install_pinned_packages   installs that; called again only when `pinned` prints something else
#
# The test is DIRECTORY.test.js. It finds the proxy in $COGNIGATE and a directory for its files, logs included, in $WORK.
set -euo pipefail

tests=$(realpath -- "$(dirname -- "${BASH_SOURCE[0]}")/..")

main() {
    local name=$1 usage="usage: $0 PATH_OF_COGNIGATE"
    (($# == 2)) || { echo "$usage" >&2; exit 64; }
    COGNIGATE=$(realpath -- "$2")
    [[ -x $COGNIGATE && -f $COGNIGATE ]] || { echo "$usage ($2 is not an executable file)" >&2; exit 64; }

    install_system_packages
    # Modules are looked up from the importing file, so the test runs next to its node_modules.
    local home=$tests/../target/test-$name
    mkdir -p -- "$home"
    cp -R -- "$tests/node" "$tests/$name" "$home"
    cd -- "$home/$name"
    install_changed_packages
    run_test "$name.test.js"
}

install_system_packages() {
    local missing as_root=()
    missing=$(missing_packages)
    [[ -n $missing ]] || return 0
    ((EUID == 0)) || as_root=(sudo)
    "${as_root[@]}" apt-get update -qq
    # shellcheck disable=SC2086  # One word a package.
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -qq -y --no-install-recommends $missing
}

install_changed_packages() {
    local stamp
    stamp=$(pinned | sha256sum)
    [[ $(cat stamp 2>/dev/null) != "$stamp" ]] || return 0
    rm -f stamp
    install_pinned_packages
    echo "$stamp" >stamp
}

run_test() {
    WORK=$(mktemp -d)
    trap finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    export COGNIGATE WORK
    # In the background, because bash defers a signal until a foreground command ends.
    timeout --kill-after=5s 120s node --test --test-reporter=spec "$1" &
    test_pid=$!
    wait "$test_pid"
}

finish() {
    local status=$?
    trap - EXIT
    # A reader that went away, as in `run ... | head`, must not keep the files from being removed.
    trap '' PIPE
    set +e
    # `timeout` leads a process group of its own, and everything that the test starts stays in it.
    [[ -z ${test_pid-} ]] || kill -KILL -- "-$test_pid" 2>/dev/null
    if ((status)); then
        for log in "$WORK"/*.log; do
            [[ -f $log ]] || continue
            echo "--- ${log##*/}"
            # A token that one of them logged is not repeated here.
            sed -E 's/eyJ[A-Za-z0-9_-]+\.[A-Za-z0-9_.-]+/<token>/g' "$log"
        done >&2
    fi
    rm -rf -- "$WORK"
    exit "$status"
}
