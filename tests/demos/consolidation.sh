#!/usr/bin/env bash
# Two workloads shrink: what is left of them moves together, and what cannot be made cheaper says why it stays.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Two workloads of six pods, on spot"
hands inflate consolidate-a 6 karpenter.sh/capacity-type=spot
hands wait-for-pods consolidate-a 6
hands inflate consolidate-b 6 karpenter.sh/capacity-type=spot
hands wait-for-pods consolidate-b 6
hands nodes
say "Both shrink to two pods"
hands scale consolidate-a 2
hands scale consolidate-b 2
hands wait-for-nodes --at-least 1 --cpu-at-most 8
hands wait-for-pods consolidate-a 2
hands wait-for-pods consolidate-b 2
hands nodes
say "Why the first of them stays"
kubeconfig=$(mktemp)
eksup kubeconfig --file "$kubeconfig" "$stack"
KUBECONFIG=$kubeconfig eksup autoscaler explain "$(hands one-node)"
rm -f "$kubeconfig"
say "They go, and so do the nodes"
hands delete consolidate-a
deflate consolidate-b
