#!/usr/bin/env bash
# The image in the stack file is changed: nodes are exchanged, the new ones before the old ones go.
source "$(dirname "${BASH_SOURCE[0]}")/stage.sh"
begin "Four pods on nodes with Amazon Linux 2023"
hands inflate drift 4 karpenter.sh/capacity-type=on-demand
hands wait-for-pods drift 4
hands wait-for-nodes --at-least 1
hands nodes
old=$(hands one-node)
say "The stack file says Bottlerocket from now on"
sed -i 's/alias: al2023@latest/alias: bottlerocket@latest/' "$stack"
eksup plan "$stack"
eksup apply --yes "$stack"
hands wait-for-nodes --at-least 1 --without "$old"
hands wait-for-pods drift 4
hands nodes
say "And back, for whoever comes next"
deflate drift
sed -i 's/alias: bottlerocket@latest/alias: al2023@latest/' "$stack"
eksup apply --yes "$stack"
