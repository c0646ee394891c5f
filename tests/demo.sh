#!/usr/bin/env bash
# The main job, shown on the local cloud: from nothing to a running platform with an app on it, an empty
# second plan, pods that follow the load, nodes that follow the pods, a change, and away again without a
# trace. `make demo` runs it; it needs `eksup` and `sandbox` on PATH, and a cloud with Kubernetes.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '\n\033[1m== %s\033[0m\n' "$*"; }

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cp -r stacks/shop "$work/shop"
# Autoscalers wait five minutes before they take pods and nodes away. That is right for a shop, and long for a demo.
sed -e 's/max: 10, cpu: 50, memory: 70 }/max: 10, cpu: 50, behavior: { scaleDown: { stabilizationWindowSeconds: 5 } } }/' \
    -e 's/consolidateAfter: 5m/consolidateAfter: 3s/' stacks/shop.yaml > "$work/shop.yaml"

# Asks the cluster's own API server, with a token of eksup's.
api() {
    local token
    token=$(eksup token --cluster shop --region ap-northeast-2 |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["status"]["token"])')
    curl --fail --silent --cacert "$work/ca.pem" --header "Authorization: Bearer $token" "$endpoint$1"
}

replicas() {
    api /apis/apps/v1/namespaces/shop/deployments/backend |
        python3 -c 'import json, sys; print(json.load(sys.stdin)["status"].get("readyReplicas", 0))'
}

# Tells the kubelets how much CPU the backend uses, all its pods together.
load() {
    curl --fail --silent --output /dev/null --request PUT "$AWS_ENDPOINT_URL/sandbox/load" \
        --data "{\"namespace\": \"shop\", \"workload\": \"deployment/backend\", \"cpuTotal\": \"$1\"}"
}

wait_for_replicas() {
    local last="" now
    for _ in $(seq 240); do
        now=$(replicas)
        [ "$now" = "$last" ] || echo "$(date +%T) backend: $now pods ready"
        last=$now
        [ "$now" = "$1" ] && return
        sleep 0.5
    done
    echo "backend did not come to $1 pods" >&2
    return 1
}

say "1. What would be built"
eksup plan "$work/shop.yaml"

say "2. Build it: AWS, the cluster, and what runs in it"
eksup apply --yes "$work/shop.yaml"

say "3. A second plan is empty"
eksup plan --detailed-exitcode "$work/shop.yaml"

say "4. Pods follow the load: 2 to 10, and back"
endpoint=$(eksup outputs --get cluster/cluster#endpoint "$work/shop.yaml")
eksup outputs --get cluster/cluster#certificateAuthority "$work/shop.yaml" | base64 --decode > "$work/ca.pem"
wait_for_replicas 2
load 1.4
wait_for_replicas 10
load 0.02
wait_for_replicas 2

say "5. Nodes follow the pods: on spot, to 12, to 5, to 1, to none; EC2 takes one back; another image"
for story in inflate-spot scale interruption drift; do
    DEMO_STACK="$work/shop.yaml" "tests/demos/$story.sh"
done

say "6. Change something: a larger database volume, a third node at most becomes a fifth"
sed -i -e 's/storage: 20Gi/storage: 40Gi/' -e 's/min: 2, max: 3/min: 2, max: 5/' "$work/shop.yaml"
eksup apply --yes "$work/shop.yaml"
eksup plan --detailed-exitcode "$work/shop.yaml"

say "7. Take it down from another machine: without the file"
eksup destroy --yes --name shop --region ap-northeast-2

say "8. Ask the cloud itself what is left, beside the roles that AWS services share in an account"
python3 - <<'PYTHON'
import json, os, sys, urllib.request
with urllib.request.urlopen(os.environ["AWS_ENDPOINT_URL"] + "/sandbox/inventory") as answer:
    left = json.load(answer)
left.pop("global/iam/service_linked_roles", None)
print("nothing" if not left else json.dumps(left, indent=2))
sys.exit(bool(left))
PYTHON
