#!/bin/bash
# Trains on two "machines" that are network namespaces of this one, each with an address of its own; needs root.
#
#     sudo benchmarks/trainers/two_machines.sh .venv/bin/python OUT
#
# OUT is a new folder for the checkpoint and what each machine prints.
set -eu
python=$(realpath --no-symlinks "$1") # the python of a virtual environment is a link
mkdir -p "$2"
out=$(realpath "$2")

cleanup() {
    ip netns delete machine1 2>/dev/null || true
    ip netns delete machine2 2>/dev/null || true
}
trap cleanup EXIT
cleanup
ip netns add machine1
ip netns add machine2
ip link add wire1 netns machine1 type veth peer name wire2 netns machine2
for number in 1 2; do
    ip -n "machine$number" addr add "10.77.0.$number/24" dev "wire$number"
    ip -n "machine$number" link set lo up
    ip -n "machine$number" link set "wire$number" up
done

train() { # the number of a machine, and whether it is the one where the machines meet
    OMP_NUM_THREADS=1 GLOO_SOCKET_IFNAME="wire$1" ip netns exec "machine$1" \
        "$python" -m torch.distributed.run --nnodes 2 --nproc-per-node 1 --rdzv-backend c10d --rdzv-id try \
        --rdzv-endpoint 10.77.0.1:29400 --rdzv-conf "is_host=$2" --local-addr "10.77.0.$1" \
        -m allweather.cli train --data signs --size 16 --arch resnet20 --epochs 2 --fraction 0.25 --precision fp32 \
        --sync-batchnorm --out "$out/two.safetensors" >"$out/machine$1.txt" 2>&1
}
train 1 true &
sleep 1
train 2 false
wait
cat "$out/machine1.txt"
