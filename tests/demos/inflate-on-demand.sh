#!/usr/bin/env bash
# Five pods that must not be interrupted, and five that test load behind their taint.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Five pods of one CPU each must not be interrupted"
hands inflate inflate-critical 5 workload-type=critical
hands wait-for-pods inflate-critical 5
hands wait-for-nodes --at-least 1 --all karpenter.sh/capacity-type=on-demand
hands nodes
say "Three test load, behind a taint of their own"
hands inflate inflate-loadtest 3 workload-type=loadtest --tolerate workload-type=loadtest
hands wait-for-pods inflate-loadtest 3
hands nodes
say "They go, and so do the nodes"
hands delete inflate-loadtest
deflate inflate-critical
