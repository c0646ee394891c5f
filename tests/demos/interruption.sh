#!/usr/bin/env bash
# EC2 takes a spot node back: its warning comes through the queue, and the replacement starts before the drain.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Three pods on spot"
hands inflate interrupted 3 karpenter.sh/capacity-type=spot
hands wait-for-pods interrupted 3
hands wait-for-nodes --at-least 1
hands nodes
say "EC2 warns"
node=$(hands one-node karpenter.sh/capacity-type=spot)
hands interrupt "$node"
hands wait-for-nodes --at-least 1 --without "$node"
hands wait-for-pods interrupted 3
hands nodes
deflate interrupted
