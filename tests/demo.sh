#!/usr/bin/env bash
# The main job, shown on the local cloud: from nothing to a running platform, an empty second plan, a
# change, and away again without a trace. `make demo` runs it; it needs `eksup` and `sandbox` on PATH.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp stacks/shop.yaml "$work/shop.yaml"

say "1. What would be built"
eksup plan "$work/shop.yaml"

say "2. Build it"
eksup apply --yes "$work/shop.yaml"

say "3. A second plan is empty"
eksup plan --detailed-exitcode "$work/shop.yaml"

say "4. Change something: a larger database volume, a third node at most becomes a fifth"
sed -i -e 's/storage: 20Gi/storage: 40Gi/' -e 's/min: 2, max: 3/min: 2, max: 5/' "$work/shop.yaml"
eksup apply --yes "$work/shop.yaml"
eksup plan --detailed-exitcode "$work/shop.yaml"

say "5. Take it down from another machine: without the file"
eksup destroy --yes --name shop --region ap-northeast-2

say "6. Ask the cloud itself what is left, beside the roles that AWS services share in an account"
python3 - <<'PYTHON'
import json, os, sys, urllib.request
with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/sandbox/inventory") as answer:
    left = json.load(answer)
left.pop("global/iam/service_linked_roles", None)
print("nothing" if not left else json.dumps(left, indent=2))
sys.exit(bool(left))
PYTHON
