#!/usr/bin/env bash
# Measures what the display of examples/deployment-controller costs: the CPU time that
# the program needs to roll out many Deployments, with and without --quiet, each on a
# fresh etcd in a process of its own. Run it on a quiet machine:
#
#   hack/display/measure.sh [DEPLOYMENTS [ROUNDS]]
#
# The quotient should be at most 1.10 at 1000 Deployments of 3.
set -euo pipefail
cd "$(dirname "$0")/../.."
count=${1:-1000} rounds=${2:-3}
dir=$(mktemp -d)
etcd=
cleanup() {
  [ -z "$etcd" ] || kill "$etcd" 2>/dev/null || true
  rm -rf "$dir"
}
trap cleanup EXIT

go build -o "$dir/etcd" ./hack/etcd
go build -o "$dir/example" ./examples/deployment-controller
for i in $(seq "$count"); do
  printf -- '---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web-%d}\nspec:\n  replicas: 3\n  selector: {matchLabels: {app: web-%d}}\n  template:\n    metadata: {labels: {app: web-%d}}\n    spec: {containers: [{name: web, image: "web:1"}]}\n' "$i" "$i" "$i"
done >"$dir/manifest.yaml"

# run prints the CPU time and the time of one run with the given flags.
run() {
  "$dir/etcd" --listen=127.0.0.1:23790 >"$dir/etcd.log" 2>&1 &
  etcd=$!
  until (exec 3<>/dev/tcp/127.0.0.1/23790) 2>/dev/null; do sleep 0.1; done
  local TIMEFORMAT='%U %S %R'
  { time "$dir/example" --endpoints=http://127.0.0.1:23790 --pod-start-delay=0 --wait -f "$dir/manifest.yaml" "$@" \
    >"$dir/out" 2>"$dir/err"; } 2>"$dir/time"
  kill "$etcd"
  wait "$etcd" 2>/dev/null || true
  etcd=
  awk '{ printf "%.2f %.2f\n", $1 + $2, $3 }' "$dir/time"
}

quiet_sum=0 shown_sum=0
for round in $(seq "$rounds"); do
  read -r quiet quiet_time <<<"$(run --quiet)"
  read -r shown shown_time <<<"$(run)"
  echo "round $round: CPU ${quiet}s quiet, ${shown}s with display; time ${quiet_time}s and ${shown_time}s; $(wc -l <"$dir/out") lines"
  quiet_sum=$(awk "BEGIN { print $quiet_sum + $quiet }")
  shown_sum=$(awk "BEGIN { print $shown_sum + $shown }")
done
awk "BEGIN { printf \"with display / quiet: %.2f\n\", $shown_sum / $quiet_sum }"
