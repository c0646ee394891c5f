# What the demos stand on: `source` it, then `begin`. With DEMO_STACK the stack of that file is taken as it stands;
# without it, `stacks/pools.yaml` is built, and taken down again at the end. It needs `eksup` on PATH and a local cloud
# with Kubernetes: `sandbox run --kubernetes -- tests/demos/inflate-spot.sh`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

hands() { python3 tests/demos/hands.py "$stack" "$@"; }

begin() {
    say "$1"
    if [ -n "${DEMO_STACK:-}" ]; then
        stack=$DEMO_STACK
        return
    fi
    work=$(mktemp -d)
    stack=$work/pools.yaml
    trap finish EXIT
    demo_stack > "$stack"
    eksup apply --yes "$stack"
}

# The three pools, but quicker: half a minute of calm is right for a cluster, and long for a demo.
demo_stack() {
    sed -e 's/consolidateAfter: .*/consolidateAfter: 3s/' -e 's/{ nodes: 10% }/{ nodes: 100% }/' \
        -e 's/{ nodes: 30% }/{ nodes: 100% }/' -e '/nodes: "0", schedule/d' stacks/pools.yaml
}

finish() {
    local code=$?
    trap - EXIT
    if [ "$code" = 0 ]; then
        eksup destroy --yes "$stack" || code=$?
    fi
    rm -rf "$work"
    exit "$code"
}

# Takes a workload away, and waits until its nodes have gone too.
deflate() {
    hands delete "$1"
    hands wait-for-nodes --at-most 0
}
