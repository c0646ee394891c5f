#!/usr/bin/env bash
# One workload at 12 pods, 5, 1 and none: the nodes follow.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Twelve pods of one CPU each"
hands inflate inflate 12 karpenter.sh/capacity-type=on-demand
hands wait-for-pods inflate 12
hands wait-for-nodes --at-least 1
hands nodes
say "Five are left: the nodes are taken together"
hands scale inflate 5
hands wait-for-pods inflate 5
hands wait-for-nodes --at-least 1 --cpu-at-most 12
hands wait-for-pods inflate 5
hands nodes
say "One is left"
hands scale inflate 1
hands wait-for-pods inflate 1
hands wait-for-nodes --at-least 1 --at-most 1 --cpu-at-most 4
hands wait-for-pods inflate 1
hands nodes
say "None is left"
hands scale inflate 0
hands wait-for-nodes --at-most 0
deflate inflate
