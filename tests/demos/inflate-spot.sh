#!/usr/bin/env bash
# Five pods that ask for spot nodes, where there are none.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Five pods of one CPU each ask for spot"
hands inflate inflate-spot 5 karpenter.sh/capacity-type=spot
hands wait-for-pods inflate-spot 5
hands wait-for-nodes --at-least 1 --all karpenter.sh/capacity-type=spot
hands nodes
say "They go, and so do the nodes"
deflate inflate-spot
